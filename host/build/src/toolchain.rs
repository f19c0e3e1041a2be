//! Finds a compiler for wasm32-unknown-unknown, or gets one.
//!
//! In this order: the active compiler has the target; one was made here before; rustup adds the target (what most
//! users have); Debian's compiler is unpacked and its standard library built, see [`debian`]. ALFT_SKIP_RUSTUP, set
//! to anything, leaves rustup out, for machines where it cannot download and would only wait.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::debian;
use crate::error::{Attempt, Error};
use crate::process::{clean, io, run, step};

/// The target of components: no imports but those of the contract, so no I/O, no clock, no randomness.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// How long rustup may take to add the target (30 MB).
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// A compiler for wasm32-unknown-unknown and its linker.
#[derive(Debug)]
pub struct WasmToolchain {
    /// Where it comes from.
    pub origin: Origin,
    /// The compiler to name in RUSTC.
    pub rustc: PathBuf,
    /// What the compiler says of itself, as in `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The linker that makes a component in one step.
    pub linker: PathBuf,
}

/// Where a toolchain comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The active compiler had the target already.
    Installed,
    /// rustup has just added the target to the active compiler.
    Rustup,
    /// Debian's compiler, in the cache.
    Debian,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Installed => "installed",
            Origin::Rustup => "added by rustup",
            Origin::Debian => "Debian's",
        })
    }
}

/// The toolchain for wasm32-unknown-unknown: found, installed or made. What is made (a minute, 137 MB to download)
/// is kept in the folder `cache`; several processes may ask at once.
pub fn wasm_toolchain(cache: &Path, say: &dyn Fn(&str)) -> Result<WasmToolchain, Error> {
    let here = std::env::current_dir().map_err(io("finding the current folder", "."))?;
    let cache = std::path::absolute(cache).map_err(io("resolving", cache))?;
    find(&Rustc::active(&here)?, &here, &cache, say)
}

/// The same, for the crate at `dir`, where `active` is the compiler.
pub(crate) fn find(active: &Rustc, dir: &Path, cache: &Path, say: &dyn Fn(&str)) -> Result<WasmToolchain, Error> {
    // Asked first, so that nobody downloads a compiler to be told of a missing linker then.
    let linker = linker(active)?;
    let found = |origin, rustc: &Rustc| {
        say(&format!("compiler for components: {}, {origin}", rustc.version));
        let (rustc, version) = (rustc.program.clone(), rustc.version.clone());
        Ok(WasmToolchain { origin, rustc, version, linker: linker.clone() })
    };
    let at_hand = || -> Option<(Origin, Rustc)> {
        if active.has_wasm() {
            return Some((Origin::Installed, active.clone()));
        }
        let made = Rustc::at(&debian::made(cache)?, dir).ok()?;
        made.has_wasm().then_some((Origin::Debian, made))
    };
    if let Some((origin, rustc)) = at_hand() {
        return found(origin, &rustc);
    }

    let _lock = lock(cache, say)?;
    if let Some((origin, rustc)) = at_hand() {
        return found(origin, &rustc);
    }
    let mut attempts = vec![Attempt {
        what: "the active compiler",
        why: format!("{} has no {}", active.version, active.wasm_lib.display()),
    }];
    let mut note = |what, why: String| {
        say(&format!("{what}: {}", why.lines().next().unwrap_or_default()));
        attempts.push(Attempt { what, why });
    };

    let skip = std::env::var_os("ALFT_SKIP_RUSTUP").is_some_and(|value| !value.is_empty());
    if skip {
        note("rustup", "left out, ALFT_SKIP_RUSTUP is set".to_owned());
    } else {
        let mut rustup = clean("rustup", dir);
        rustup.args(["target", "add", WASM]);
        match step(say, "rustup target add wasm32-unknown-unknown", || run(&mut rustup, Some(RUSTUP_LIMIT), &|_| {})) {
            Ok(_) if active.has_wasm() => return found(Origin::Rustup, active),
            Ok(_) => note("rustup", format!("added the target, but not to {}", active.version)),
            Err(failed) => note("rustup", failed.to_string()),
        }
    }
    match debian::make(cache, say).and_then(|rustc| Rustc::at(&rustc, dir)) {
        Ok(made) if made.has_wasm() => return found(Origin::Debian, &made),
        Ok(made) => note("Debian's compiler", format!("built, but it has no {}", made.wasm_lib.display())),
        Err(error) => note("Debian's compiler", error.to_string()),
    }
    Err(Error::NoWasmToolchain(attempts))
}

/// Holds a folder for this process, so that no two write into it at once. The system lets go of it if the process dies.
pub(crate) fn lock(folder: &Path, say: &dyn Fn(&str)) -> Result<File, Error> {
    fs::create_dir_all(folder).map_err(io("making", folder))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(io("writing", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            say(&format!("another process is at work in {}, waiting for it…", folder.display()))
        }
        Err(TryLockError::Error(source)) => return Err(io("locking", path)(source)),
    }
    file.lock().map_err(io("locking", path))?;
    Ok(file)
}

/// A compiler, and what it says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    pub(crate) program: PathBuf,
    /// The triple of this machine.
    pub(crate) host: String,
    version: String,
    /// Where the standard library for WebAssembly is or would be.
    wasm_lib: PathBuf,
}

impl Rustc {
    /// The compiler that cargo would use in `dir`.
    pub(crate) fn active(dir: &Path) -> Result<Rustc, Error> {
        let program = std::env::var_os("RUSTC").filter(|name| !name.is_empty());
        Rustc::at(Path::new(&program.unwrap_or_else(|| "rustc".into())), dir)
    }

    fn at(program: &Path, dir: &Path) -> Result<Rustc, Error> {
        let ask = |args: &[&str]| run(clean(program, dir).args(args), None, &|_| {});
        let about = ask(&["-vV"])?;
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let wasm_lib = ask(&["--print", "target-libdir", "--target", WASM])?;
        Ok(Rustc {
            program: program.to_owned(),
            host: host.to_owned(),
            version: about.lines().next().unwrap_or_default().to_owned(),
            wasm_lib: wasm_lib.trim_end().into(),
        })
    }

    /// Whether it can build for WebAssembly: it knows the target always, but has not always its `core`.
    fn has_wasm(&self) -> bool {
        let Ok(files) = fs::read_dir(&self.wasm_lib) else {
            return false;
        };
        files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore") && name.ends_with(".rlib")
        })
    }
}

/// The linker that comes with the compiler, or else one on PATH.
fn linker(rustc: &Rustc) -> Result<PathBuf, Error> {
    let name = format!("wasm-component-ld{}", std::env::consts::EXE_SUFFIX);
    // The folder is rustlib/TARGET/lib, the compiler's own programs are in rustlib/HOST/bin.
    let own = rustc.wasm_lib.ancestors().nth(2).unwrap_or(&rustc.wasm_lib).join(&rustc.host).join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(own.clone())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
        .ok_or(Error::NoLinker(own))
}

impl WasmToolchain {
    /// Makes cargo build components with it.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        // Only for components: the native library is to be built by the compiler that built the host.
        cargo.env("RUSTC", &self.rustc);
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker);
        // That linker calls `wasm-ld`, the first on PATH: it must be its neighbour, not some older one.
        if let Some(path) = self.linker.parent().and_then(|bin| path_with(bin, std::env::var_os("PATH").as_deref())) {
            cargo.env("PATH", path);
        }
    }
}

fn path_with(bin: &Path, path: Option<&OsStr>) -> Option<OsString> {
    let rest = std::env::split_paths(path.unwrap_or_default());
    std::env::join_paths([bin.join("gcc-ld"), bin.to_owned()].into_iter().chain(rest)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(root: &Path) -> Rustc {
        Rustc {
            program: "rustc".into(),
            host: "x86_64-unknown-linux-gnu".into(),
            version: "rustc 1.2.3".into(),
            wasm_lib: root.join("rustlib").join(WASM).join("lib"),
        }
    }

    #[test]
    fn a_target_without_core_is_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        let rustc = rustc(dir.path());
        assert!(!rustc.has_wasm());
        fs::create_dir_all(&rustc.wasm_lib).unwrap();
        fs::write(rustc.wasm_lib.join("libstd-1.rlib"), "").unwrap();
        assert!(!rustc.has_wasm());
        fs::write(rustc.wasm_lib.join("libcore-1.rlib"), "").unwrap();
        assert!(rustc.has_wasm());
    }

    #[test]
    fn the_compilers_own_linker_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let rustc = rustc(dir.path());
        let bin = dir.path().join("rustlib/x86_64-unknown-linux-gnu/bin");
        fs::create_dir_all(&bin).unwrap();
        let file = bin.join(format!("wasm-component-ld{}", std::env::consts::EXE_SUFFIX));
        fs::write(&file, "").unwrap();
        assert_eq!(linker(&rustc).unwrap(), file);
    }

    #[test]
    fn a_held_cache_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), &|_| {}).unwrap();
        std::thread::scope(|scope| {
            let (said, waiting) = std::sync::mpsc::channel();
            let cache = dir.path();
            let other = scope.spawn(move || lock(cache, &|line| said.send(line.to_owned()).unwrap()).is_ok());
            assert!(waiting.recv().unwrap().contains("waiting"));
            drop(held);
            assert!(other.join().unwrap());
        });
    }

    #[test]
    fn the_last_error_lists_every_road_and_the_remedy() {
        let text = Error::NoWasmToolchain(vec![
            Attempt { what: "rustup", why: "no network\nat all".into() },
            Attempt { what: "Debian's compiler", why: "no apt-get".into() },
        ])
        .to_string();
        for part in ["\n  - rustup: no network\n    at all", "\n  - Debian's compiler: no apt-get", "rustup target add"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
