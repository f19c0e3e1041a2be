//! Builds a plugin crate into a component or a native library, and finds or makes the WebAssembly toolchain for it.
//!
//! The same source gives the same bytes in two builds, in whatever folder it lies and whatever the author's
//! environment and profiles say: [`build`] sets the profile and the compiler's flags itself, and keeps build folders
//! out of the result. The builds have a target folder of their own, so they neither wait for the lock of a cargo that
//! is running (a `cargo test` that calls [`build`] would wait for ever) nor throw away what it has built.
//!
//! Cargo is not told `--locked`: a complete `Cargo.lock` is followed to the letter either way, and an author who has
//! just added a dependency is not sent back to run cargo first.

mod cargo;
mod debian;
mod error;
mod process;
mod toolchain;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub use error::{Attempt, Error, Failed};
pub use toolchain::{Origin, WasmToolchain, wasm_toolchain};

use cargo::Package;
use process::{clean, io, run};
use toolchain::{Rustc, WASM};

/// What a plugin crate is built into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A WebAssembly component, for the sandbox.
    Component,
    /// A shared library of this machine, for trusted plugins.
    Native,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Component => "component",
            Form::Native => "native library",
        })
    }
}

/// Builds the plugin crate at `dir` and returns the file. `say` gets lines for a human that tell how far it is,
/// the compiler's warnings among them.
///
/// The crate needs a library target and no more: the `crate-type` is given here. The first component on a machine
/// that has no WebAssembly target yet takes a minute or two longer, see [`wasm_toolchain`]; what is made then is kept
/// in the folder ALFT_CACHE, or else in `alft` within the crate's target folder.
pub fn build(dir: &Path, form: Form, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let started = Instant::now();
    let dir = std::path::absolute(dir).map_err(io("resolving", dir))?;
    let package = Package::read(&dir)?;
    let own = package.target_directory.join("alft");
    let rustc = Rustc::active(&dir)?;

    let mut cargo = clean("cargo", &dir);
    let (target, folder, extension, panic) = match form {
        // A host catches what a native plugin panics with, and would die of an abort.
        Form::Native => (rustc.host.as_str(), "native", std::env::consts::DLL_EXTENSION, "unwind"),
        Form::Component => {
            toolchain::find(&rustc, &dir, &cache(&own)?, say)?.configure(&mut cargo);
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
    let Some(file) = package.artifact(&messages, extension) else {
        return Err(Error::NoLibrary { name: name.clone(), manifest: package.manifest });
    };
    if form == Form::Component {
        check_component(&file)?;
    }
    let size = std::fs::metadata(&file).map_err(io("reading", &file))?.len();
    say(&format!("built {name}: {:.1} kB in {} s", size as f64 / 1e3, started.elapsed().as_secs()));
    Ok(file)
}

/// Where a toolchain is kept.
fn cache(own: &Path) -> Result<PathBuf, Error> {
    let cache = std::env::var_os("ALFT_CACHE").filter(|path| !path.is_empty());
    let cache = cache.map_or_else(|| own.to_owned(), PathBuf::from);
    std::path::absolute(&cache).map_err(io("resolving", cache))
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

/// Refuses a file that does not start as a component does.
fn check_component(file: &Path) -> Result<(), Error> {
    let mut header = Vec::new();
    File::open(file).and_then(|f| f.take(8).read_to_end(&mut header)).map_err(io("reading", file))?;
    match kind(&header) {
        Kind::Component => Ok(()),
        Kind::Module => Err(Error::NotComponent { file: file.to_owned(), found: "a core WebAssembly module" }),
        Kind::Other => Err(Error::NotComponent { file: file.to_owned(), found: "not WebAssembly" }),
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    Component,
    Module,
    Other,
}

/// What the first eight bytes of a file say it is.
fn kind(header: &[u8]) -> Kind {
    match header {
        b"\0asm\x0d\0\x01\0" => Kind::Component,
        b"\0asm\x01\0\0\0" => Kind::Module,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_told_from_a_module() {
        assert_eq!(kind(&[0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]), Kind::Component);
        assert_eq!(kind(&[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]), Kind::Module);
        assert_eq!(kind(b"\x7fELF\x02\x01\x01\0"), Kind::Other);
        assert_eq!(kind(b"\0asm"), Kind::Other);
    }

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
    fn a_core_module_is_refused_with_the_file_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.wasm");
        std::fs::write(&file, b"\0asm\x01\0\0\0rest").unwrap();
        let text = check_component(&file).unwrap_err().to_string();
        assert!(text.contains("x.wasm") && text.contains("core WebAssembly module"), "{text}");
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
