//! Finds a Rust compiler for wasm32-unknown-unknown, or gets one.
//!
//! The compilers are tried in this order: the active one, if it has the target; one that was made and cached earlier; the
//! active one after rustup has added the target (the case of most users); Debian's, unpacked and with its standard library
//! built, see [`debian`]. ALFT_SKIP_RUSTUP, set to any value, skips rustup on machines where it cannot download and would
//! only time out.

pub(crate) mod debian;
pub(crate) mod rustc;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::lock;
use crate::error::{Attempt, AttemptFailure, Error};
use crate::event::{BuildEvent, Observer, fetch};
use crate::io::io;
use crate::process::{command, run_with};
use rustc::{Rustc, WASM};

/// The longest time rustup may take to add the target (30 MB).
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// A compiler for wasm32-unknown-unknown and its linker.
#[derive(Debug)]
pub struct WasmToolchain {
    /// The origin of the compiler.
    pub origin: Origin,
    /// The compiler, for the variable RUSTC.
    pub rustc: PathBuf,
    /// The compiler's name and version, as in `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The linker that makes a component in one step.
    pub linker: PathBuf,
}

/// The origin of a [`WasmToolchain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The active compiler had the target.
    Installed,
    /// The active compiler, to which rustup has just added the target.
    Rustup,
    /// Debian's compiler, in the cache.
    Debian,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Installed => "installed",
            Origin::Rustup => "added by rustup",
            Origin::Debian => "from Debian",
        })
    }
}

/// Returns a toolchain for wasm32-unknown-unknown, which is found, installed or made. One that is made (a minute, and
/// 137 MB to download) is kept in the folder `cache`. Several processes may call this at the same time.
pub fn wasm_toolchain(cache: &Path, observer: &dyn Fn(BuildEvent)) -> Result<WasmToolchain, Error> {
    let here = std::env::current_dir().map_err(io("find the current folder", "."))?;
    let cache = std::path::absolute(cache).map_err(io("resolve", cache))?;
    find(&Rustc::active(&here)?, &here, &cache, observer)
}

/// Returns a toolchain for the crate at `dir`, whose active compiler is `active`.
pub(crate) fn find(active: &Rustc, dir: &Path, cache: &Path, observer: Observer<'_>) -> Result<WasmToolchain, Error> {
    // The linker comes first: a user who lacks it is not made to download a compiler before the error.
    let linker = active.component_linker().map_err(Error::NoLinker)?;
    let found = |origin, rustc: &Rustc| {
        observer(BuildEvent::Compiler { description: format!("{}, {origin}", rustc.version) });
        let (rustc, version) = (rustc.program.clone(), rustc.version.clone());
        Ok(WasmToolchain { origin, rustc, version, linker: linker.clone() })
    };
    let at_hand = || -> Option<(Origin, Rustc)> {
        if active.has_wasm() {
            return Some((Origin::Installed, active.clone()));
        }
        let cached = Rustc::at(&debian::cached(cache)?, dir).ok()?;
        cached.has_wasm().then_some((Origin::Debian, cached))
    };
    if let Some((origin, rustc)) = at_hand() {
        return found(origin, &rustc);
    }

    let _lock = lock(cache, observer)?;
    if let Some((origin, rustc)) = at_hand() {
        return found(origin, &rustc);
    }
    let no_target = |rustc: &Rustc| AttemptFailure::NoTarget {
        compiler: rustc.version.clone(),
        library: rustc.wasm_library.clone(),
    };
    let mut attempts = Vec::new();
    let mut failed = |method: &'static str, failure: AttemptFailure| {
        let line = failure.to_string().lines().next().unwrap_or_default().to_owned();
        observer(BuildEvent::FetchFailed { method: method.to_owned(), failure: line });
        attempts.push(Attempt { method, failure });
    };
    failed("the active compiler", no_target(active));

    if std::env::var_os("ALFT_SKIP_RUSTUP").is_some_and(|value| !value.is_empty()) {
        failed("rustup", AttemptFailure::Skipped);
    } else {
        let mut rustup = command("rustup", dir);
        rustup.args(["target", "add", WASM]);
        let added = fetch("rustup target add wasm32-unknown-unknown", observer, || {
            run_with(&mut rustup, Some(RUSTUP_LIMIT), &|_| {})
        });
        match added {
            Ok(_) if active.has_wasm() => return found(Origin::Rustup, active),
            // rustup added the target to another compiler than the active one.
            Ok(_) => failed("rustup", no_target(active)),
            Err(error) => failed("rustup", error.into()),
        }
    }
    let made = debian::make(cache, observer).and_then(|program| Ok(Rustc::at(&program, dir)?));
    match made {
        Ok(made) if made.has_wasm() => return found(Origin::Debian, &made),
        Ok(made) => failed("Debian's compiler", no_target(&made)),
        Err(error) => failed("Debian's compiler", error.into()),
    }
    Err(Error::NoWasmToolchain(attempts))
}

impl WasmToolchain {
    /// Sets the variables that make cargo build components with this toolchain.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        // For components only: a native library is to be built by the compiler that built the host.
        cargo.env("RUSTC", &self.rustc);
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker);
        // The linker runs the first `wasm-ld` on PATH, which must be the one beside it and not an older one.
        if let Some(path) = self.linker.parent().and_then(|bin| path_with(bin, std::env::var_os("PATH").as_deref())) {
            cargo.env("PATH", path);
        }
    }
}

/// Returns `path` with the folders of a toolchain's linkers before it.
fn path_with(bin: &Path, path: Option<&OsStr>) -> Option<OsString> {
    let rest = std::env::split_paths(path.unwrap_or_default());
    std::env::join_paths([bin.join("gcc-ld"), bin.to_owned()].into_iter().chain(rest)).ok()
}
