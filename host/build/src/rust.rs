//! Plugins in Rust: a crate, built by cargo.
//!
//! The same source gives the same bytes in two builds, whatever the folder, the author's environment and the author's
//! profiles: [`build`] sets the profile and the compiler flags itself, and keeps the names of build folders out of the
//! result. Builds have their own target folder. So they do not wait for the lock of a cargo that is running (a `cargo
//! test` that calls [`build`] would wait for ever), and do not throw away what that cargo has built.
//!
//! Cargo is not passed `--locked`: it follows a complete `Cargo.lock` anyway, and an author who has just added a
//! dependency need not run cargo first.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::artifact::{Artifact, Form};
use crate::cache;
use crate::cargo::Package;
use crate::error::Error;
use crate::event::{BuildEvent, Observer};
use crate::paths::{cargo_registry, remap};
use crate::process::{CommandError, command, run_with};
use crate::toolchain;
use crate::toolchain::rustc::{Rustc, WASM};

/// Builds the crate at `dir`, an absolute path. The crate needs a library target; the `crate-type` is given here.
///
/// The first component on a machine without the WebAssembly target takes a minute or two longer, see
/// [`wasm_toolchain`](crate::wasm_toolchain).
pub(crate) fn build(dir: &Path, form: Form, observer: Observer<'_>) -> Result<Artifact, Error> {
    let package = Package::read(dir)?;
    let target_dir = package.target_directory.join("alft");
    let rustc = Rustc::active(dir)?;

    let mut cargo = command("cargo", dir);
    let (target, folder, extension, panic) = match form {
        // A host catches the panic of a native plugin, and would be ended by an abort.
        Form::Native => (rustc.host.as_str(), "native", std::env::consts::DLL_EXTENSION, "unwind"),
        Form::Component => {
            toolchain::find(&rustc, dir, &cache::folder(&target_dir)?, observer)?.configure(&mut cargo);
            (WASM, "component", "wasm", "abort")
        }
    };
    let folder = target_dir.join(folder);
    // A folder has one name here: its name is in the flags, and cargo compiles everything again for other flags.
    let folder = std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize()).unwrap_or(folder);
    // `cargo rustc --crate-type cdylib`, not `cargo build`: cargo leaves out link-time optimisation for a library that is
    // an rlib as well, which costs a tenth of the size.
    cargo.args(["rustc", "--release", "--lib", "--crate-type", "cdylib", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", &package.name, "--target", target, "--manifest-path"]).arg(&package.manifest);
    cargo.env("CARGO_TARGET_DIR", &folder).env("CARGO_BUILD_BUILD_DIR", &folder);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&folder));
    cargo.envs(PROFILE).env("CARGO_PROFILE_RELEASE_PANIC", panic);
    // For this crate alone: a flag for all would have the dependencies compiled again for every project. The last prefix
    // that matches wins, so the outer folder comes first.
    cargo.arg("--").arg(remap(&package.workspace_root, "/plugin")).arg(remap(&folder, "/target"));

    let name = &package.name;
    observer(BuildEvent::Compiling { name: name.clone(), form, note: "" });
    let messages =
        compile(&mut cargo, observer).map_err(|source| Error::Compile { name: name.clone(), form, source })?;
    match package.artifact(&messages, extension) {
        Some(file) => Ok(Artifact { name: package.name, file }),
        None => Err(Error::NoLibrary { name: package.name, manifest: package.manifest }),
    }
}

/// Runs a build and returns cargo's messages. The compiler's errors go into the failure only, so that a user does not
/// read them twice.
fn compile(cargo: &mut Command, observer: Observer<'_>) -> Result<String, CommandError> {
    let diagnostics = RefCell::new(Vec::new());
    let on_line = |line: &str| match is_progress(line) {
        true => observer(BuildEvent::Line(line.to_owned())),
        false => diagnostics.borrow_mut().push(line.to_owned()),
    };
    let messages = run_with(cargo, None, &on_line);
    let diagnostics = diagnostics.into_inner();
    let messages = messages.map_err(|failed| CommandError { stderr: diagnostics.join("\n"), ..failed })?;
    diagnostics.into_iter().map(BuildEvent::Line).for_each(observer);
    Ok(messages)
}

/// Returns true for a line of cargo's progress, such as `   Compiling libm v0.2.16`. Every other line is a diagnostic.
fn is_progress(line: &str) -> bool {
    // Progress begins with one word, aligned to end in column 12.
    line.split_at_checked(12).is_some_and(|(word, rest)| {
        let word = word.trim_start();
        rest.starts_with(' ') && !word.is_empty() && word.chars().all(char::is_alphabetic)
    })
}

/// The release profile of every plugin, whatever its workspace says.
///
/// Overflow checks are on, as in a debug test: a sum that wraps would silently be a wrong score, where one that panics is
/// a failed plugin. Level 3 costs 15% more bytes than level `s`, and scoring time is what matters.
const PROFILE: [(&str, &str); 9] = [
    ("CARGO_INCREMENTAL", "0"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    // The names of functions are kept for the backtrace of a trap. They are a twelfth of the size and cost no time.
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "false"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
    ("CARGO_PROFILE_RELEASE_RPATH", "false"),
];

/// Returns compiler flags, in the format of CARGO_ENCODED_RUSTFLAGS, that keep this machine's folders out of panic
/// messages and so out of the file. They replace the flags of the author's environment. The crates of the author's own
/// workspace are compiled by paths within it.
fn rust_flags(target_dir: &Path) -> OsString {
    let mut flags = remap(target_dir, "/target");
    if let Some(registry) = cargo_registry() {
        flags.push("\x1f");
        flags.push(remap(&registry, "/registry"));
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_diagnostics() {
        for line in ["   Compiling libm v0.2.16", "    Finished `release` profile", "    Updating the index"] {
            assert!(is_progress(line), "{line}");
        }
        for line in
            ["error[E0308]: mismatched types", "   | expected `u32`", "  --> src/lib.rs:1:1", "            a b", ""]
        {
            assert!(!is_progress(line), "{line}");
        }
    }

    #[test]
    fn the_flags_of_all_crates_name_no_project() {
        let flags = rust_flags(Path::new("/home/me/a folder/component")).into_string().unwrap();
        let flags: Vec<_> = flags.split('\x1f').collect();
        assert_eq!(flags[0], "--remap-path-prefix=/home/me/a folder/component=/target");
        assert!(flags[1..].iter().all(|flag| flag.ends_with("=/registry")), "{flags:?}");
    }
}
