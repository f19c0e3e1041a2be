//! A Rust compiler, and the parts of it that building for WebAssembly needs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{CommandError, command, run};

/// The target of components. It has no imports but those of the contract, so no I/O, no clock and no randomness.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// A compiler, with the facts that it prints about itself.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    pub(crate) program: PathBuf,
    /// The target triple of this machine.
    pub(crate) host: String,
    /// The compiler's name and version.
    pub(crate) version: String,
    /// The folder of the standard library for WebAssembly, which need not exist.
    pub(crate) wasm_library: PathBuf,
}

impl Rustc {
    /// Returns the compiler that cargo uses in `dir`.
    pub(crate) fn active(dir: &Path) -> Result<Self, CommandError> {
        let program = std::env::var_os("RUSTC").filter(|name| !name.is_empty());
        Self::at(Path::new(&program.unwrap_or_else(|| "rustc".into())), dir)
    }

    /// Runs the compiler `program` in `dir` to read its facts.
    pub(crate) fn at(program: &Path, dir: &Path) -> Result<Self, CommandError> {
        let ask = |args: &[&str]| run(command(program, dir).args(args));
        let about = ask(&["-vV"])?;
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let wasm_library = ask(&["--print", "target-libdir", "--target", WASM])?;
        Ok(Self {
            program: program.to_owned(),
            host: host.to_owned(),
            version: about.lines().next().unwrap_or_default().to_owned(),
            wasm_library: wasm_library.trim_end().into(),
        })
    }

    /// Returns true if the compiler can build for WebAssembly. Every compiler knows the target, but not every
    /// installation has the target's `core`.
    pub(crate) fn has_wasm(&self) -> bool {
        let Ok(files) = fs::read_dir(&self.wasm_library) else {
            return false;
        };
        files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore") && name.ends_with(".rlib")
        })
    }

    /// Returns the linker that makes components: the compiler's own, or else one on PATH. Fails with the compiler's folder
    /// of programs.
    pub(crate) fn component_linker(&self) -> Result<PathBuf, PathBuf> {
        let name = format!("wasm-component-ld{}", std::env::consts::EXE_SUFFIX);
        // The library is in rustlib/TARGET/lib, the compiler's programs are in rustlib/HOST/bin.
        let rustlib = self.wasm_library.ancestors().nth(2).unwrap_or(&self.wasm_library);
        let bin = rustlib.join(&self.host).join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(bin.clone())
            .chain(std::env::split_paths(&path))
            .map(|folder| folder.join(&name))
            .find(|file| file.is_file())
            .ok_or(bin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(root: &Path) -> Rustc {
        Rustc {
            program: "rustc".into(),
            host: "x86_64-unknown-linux-gnu".into(),
            version: "rustc 1.2.3".into(),
            wasm_library: root.join("rustlib").join(WASM).join("lib"),
        }
    }

    #[test]
    fn a_target_without_core_is_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        let rustc = rustc(dir.path());
        assert!(!rustc.has_wasm());
        fs::create_dir_all(&rustc.wasm_library).unwrap();
        fs::write(rustc.wasm_library.join("libstd-1.rlib"), "").unwrap();
        assert!(!rustc.has_wasm());
        fs::write(rustc.wasm_library.join("libcore-1.rlib"), "").unwrap();
        assert!(rustc.has_wasm());
    }

    #[test]
    fn the_compilers_linker_is_preferred_to_one_on_path() {
        let dir = tempfile::tempdir().unwrap();
        let rustc = rustc(dir.path());
        let bin = dir.path().join("rustlib/x86_64-unknown-linux-gnu/bin");
        fs::create_dir_all(&bin).unwrap();
        let file = bin.join(format!("wasm-component-ld{}", std::env::consts::EXE_SUFFIX));
        fs::write(&file, "").unwrap();
        assert_eq!(rustc.component_linker().unwrap(), file);
    }
}
