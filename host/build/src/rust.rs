//! Plugins in Rust: a crate, built by cargo.
//!
//! The same source gives the same bytes in two builds, in whatever folder it lies and whatever the author's
//! environment and profiles say: [`build`] sets the profile and the compiler's flags itself, and keeps build folders
//! out of the result. The builds have a target folder of their own, so they neither wait for the lock of a cargo that
//! is running (a `cargo test` that calls [`build`] would wait for ever) nor throw away what it has built.
//!
//! Cargo is not told `--locked`: a complete `Cargo.lock` is followed to the letter either way, and an author who has
//! just added a dependency is not sent back to run cargo first.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::cargo::{self, Package};
use crate::error::{Error, Failed};
use crate::process::{self, clean, run};
use crate::toolchain::{self, Rustc, WASM};
use crate::{Built, Form, cache};

/// Builds the crate at `dir`, an absolute path. It needs a library target and no more: the `crate-type` is given here.
///
/// The first component on a machine that has no WebAssembly target yet takes a minute or two longer, see
/// [`wasm_toolchain`](crate::wasm_toolchain).
pub(crate) fn build(dir: &Path, form: Form, say: &dyn Fn(&str)) -> Result<Built, Error> {
    let package = Package::read(dir)?;
    let own = package.target_directory.join("alft");
    let rustc = Rustc::active(dir)?;

    let mut cargo = clean("cargo", dir);
    let (target, folder, extension, panic) = match form {
        // A host catches what a native plugin panics with, and would die of an abort.
        Form::Native => (rustc.host.as_str(), "native", std::env::consts::DLL_EXTENSION, "unwind"),
        Form::Component => {
            toolchain::find(&rustc, dir, &cache(&own)?, say)?.configure(&mut cargo);
            (WASM, "component", "wasm", "abort")
        }
    };
    let folder = own.join(folder);
    // `cargo rustc --crate-type cdylib` in place of `cargo build`: link-time optimisation is left out for a library
    // that is an rlib as well, and costs a tenth of the size.
    cargo.args(["rustc", "--release", "--lib", "--crate-type", "cdylib", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", &package.name, "--target", target, "--manifest-path"]).arg(&package.manifest);
    cargo.env("CARGO_TARGET_DIR", &folder).env("CARGO_BUILD_BUILD_DIR", &folder);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remap(&package, &folder));
    cargo.envs(PROFILE).env("CARGO_PROFILE_RELEASE_PANIC", panic);

    let name = &package.name;
    say(&format!("building {name} as a {form}"));
    let messages = compile(&mut cargo, say).map_err(|failed| Error::Compile { name: name.clone(), form, failed })?;
    match package.artifact(&messages, extension) {
        Some(file) => Ok(Built { name: package.name, file }),
        None => Err(Error::NoLibrary { name: package.name, manifest: package.manifest }),
    }
}

/// Runs a build and returns cargo's messages. Errors are told by the failure and not by `say`: once is enough.
fn compile(cargo: &mut Command, say: &dyn Fn(&str)) -> Result<String, Failed> {
    let diagnostics = RefCell::new(Vec::new());
    let messages = run(cargo, None, &|line| match is_progress(line) {
        true => say(line),
        false => diagnostics.borrow_mut().push(line.to_owned()),
    });
    let diagnostics = diagnostics.into_inner();
    let messages = messages.map_err(|failed| Failed { tail: diagnostics.join("\n"), ..failed })?;
    diagnostics.iter().for_each(|line| say(line));
    Ok(messages)
}

/// Whether a line of cargo's is progress, as in `   Compiling libm v0.2.16`, where diagnostics are everything else.
fn is_progress(line: &str) -> bool {
    // One word, set to end in column 12.
    line.split_at_checked(12).is_some_and(|(word, rest)| {
        let word = word.trim_start();
        rest.starts_with(' ') && !word.is_empty() && word.chars().all(char::is_alphabetic)
    })
}

/// The release profile of every plugin, whatever the workspace it lies in says.
///
/// Overflow checks stay on, as in a debug test: a sum that wraps would be a wrong score without a word, one that
/// panics is a failed plugin. Level 3 costs 15% more bytes than level `s`, and scoring time is what matters.
const PROFILE: [(&str, &str); 9] = [
    ("CARGO_INCREMENTAL", "0"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    // The names of functions stay, for the backtrace of a trap; they are a twelfth of the size and cost no time.
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "false"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
    ("CARGO_PROFILE_RELEASE_RPATH", "false"),
];

/// Compiler flags, as CARGO_ENCODED_RUSTFLAGS has them, that keep the folders of this machine out of panic messages
/// and so out of the file. They also stand in for whatever flags the author's environment has.
fn remap(package: &Package, target_dir: &Path) -> OsString {
    // The last prefix that fits wins, so the outer folder comes first.
    let mut flags = process::remap(&package.workspace_root, "/plugin");
    flags.push("\x1f");
    flags.push(process::remap(target_dir, "/target"));
    if let Some(registry) = cargo::registry() {
        flags.push("\x1f");
        flags.push(process::remap(&registry, "/registry"));
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
    fn flags_map_every_folder() {
        let package = Package {
            name: "x".into(),
            manifest: "/home/me/p/Cargo.toml".into(),
            workspace_root: "/home/me/a folder".into(),
            target_directory: "/home/me/a folder/target".into(),
        };
        let flags = remap(&package, Path::new("/t/component")).into_string().unwrap();
        let flags: Vec<_> = flags.split('\x1f').collect();
        assert_eq!(flags[0], "--remap-path-prefix=/home/me/a folder=/plugin");
        assert_eq!(flags[1], "--remap-path-prefix=/t/component=/target");
    }
}
