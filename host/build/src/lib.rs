//! Builds a plugin project into a component or a native library, whatever language it is in, and finds or makes what it
//! needs for that; starts new projects.
//!
//! | module | holds |
//! | --- | --- |
//! | `rust`, `python`, `javascript`, `c` | how a project in that language becomes a plugin |
//! | `project` | plugin.toml, which says what cargo does not know of |
//! | `fresh` | what need not be built again |
//! | `new` | a new project, from `templates/` |
//! | `languages` | the contract and the modules of Python, JavaScript and C, as text |
//! | `cargo` | what cargo says of a crate |
//! | `toolchain`, `debian` | a Rust compiler for WebAssembly |
//! | `tools` | the compilers of the other languages, from their registries |
//! | `process` | running other programs |

mod c;
mod cargo;
mod debian;
mod error;
mod fresh;
mod javascript;
pub mod languages;
mod new;
mod process;
mod project;
mod python;
mod rust;
mod toolchain;
mod tools;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use alft_sdk::batch::{Role, Roles};
pub use error::{Attempt, Error, Failed};
pub use new::{NewPlugin, new};
pub use project::Language;
pub use toolchain::{Origin, WasmToolchain, wasm_toolchain};

use process::io;
use project::Project;

/// What a plugin project is built into.
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

/// A plugin that was built.
struct Built {
    name: String,
    file: PathBuf,
}

/// Builds the plugin project at `dir`, a crate or a folder with a plugin.toml, and returns the file. `say` gets lines
/// for a human that tell how far it is, the compiler's warnings among them.
///
/// Compilers that this machine lacks are fetched once, and kept in the folder ALFT_CACHE, or else in `target/alft` of
/// the project.
pub fn build(dir: &Path, form: Form, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let started = Instant::now();
    let dir = std::path::absolute(dir).map_err(io("resolving", dir))?;
    let Built { name, file } = match Project::read(&dir)? {
        None => rust::build(&dir, form, say)?,
        Some(project) => {
            let _lock = toolchain::lock(&dir.join("target"), say)?;
            match project.language {
                Language::Rust => rust::build(&dir, form, say)?,
                Language::Python => python::build(&project, form, say)?,
                Language::JavaScript => javascript::build(&project, form, say)?,
                Language::C => c::build(&project, form, say)?,
            }
        }
    };
    if form == Form::Component {
        check_component(&file)?;
    }
    let size = std::fs::metadata(&file).map_err(io("reading", &file))?.len();
    say(&format!("built {name}: {:.1} kB in {} s", size as f64 / 1e3, started.elapsed().as_secs()));
    Ok(file)
}

/// What the project at `dir` is written in.
pub fn language(dir: &Path) -> Result<Language, Error> {
    Ok(Project::read(dir)?.map_or(Language::Rust, |project| project.language))
}

/// Where compilers are kept.
fn cache(own: &Path) -> Result<PathBuf, Error> {
    let cache = std::env::var_os("ALFT_CACHE").filter(|path| !path.is_empty());
    let cache = cache.map_or_else(|| own.to_owned(), PathBuf::from);
    std::path::absolute(&cache).map_err(io("resolving", cache))
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
    fn a_core_module_is_refused_with_the_file_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.wasm");
        std::fs::write(&file, b"\0asm\x01\0\0\0rest").unwrap();
        let text = check_component(&file).unwrap_err().to_string();
        assert!(text.contains("x.wasm") && text.contains("core WebAssembly module"), "{text}");
    }
}
