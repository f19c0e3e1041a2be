//! Builds plugin projects in Rust, Python, JavaScript and C into components or native libraries, and installs the compilers
//! that are missing. Also writes new projects.
//!
//! | module | content |
//! | --- | --- |
//! | `rust`, `python`, `javascript`, `c` | the build of a project in one language |
//! | `project`, `name`, `language` | plugin.toml, the description of a project without cargo |
//! | `inputs` | the fingerprint of a component's inputs: an unchanged project is not built again |
//! | `scaffold` | a new project, from `templates/` |
//! | `assets` | the contract and the modules of Python, JavaScript and C, as text |
//! | `cargo` | the name and folders of a crate |
//! | `toolchain` | a Rust compiler for WebAssembly |
//! | `tools` | the compilers of the other languages, from their package registries |
//! | `cache` | the folder that keeps compilers, and its lock |
//! | `event` | the progress of a build |
//! | `process`, `io`, `paths` | other programs, errors of files, paths in compiled files |
//!
//! A compiler is looked for and fetched only by the build of a project in its language.

pub mod assets;

mod artifact;
mod c;
mod cache;
mod cargo;
mod error;
mod event;
mod inputs;
mod io;
mod javascript;
mod language;
mod name;
mod paths;
mod process;
mod project;
mod python;
mod rust;
mod scaffold;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Instant;

pub use alft_sdk::roles::{Role, Roles};
pub use artifact::Form;
pub use error::{Attempt, AttemptFailure, Error};
pub use event::BuildEvent;
pub use io::IoError;
pub use language::{Language, UnknownLanguage};
pub use name::NameError;
pub use process::{CommandError, Outcome};
pub use scaffold::{NewPlugin, new};
pub use toolchain::debian::DebianError;
pub use toolchain::{Origin, WasmToolchain, wasm_toolchain};

use artifact::{Artifact, Format};
use io::io;
use project::Project;

/// Builds the plugin project at `dir`, a crate or a folder with a plugin.toml, and returns the path of the built file.
/// `observer` gets the events of the build, the compiler's warnings among them.
///
/// A compiler that this machine lacks is fetched once, and kept in the folder ALFT_CACHE, or else in `target/alft` of the
/// project.
pub fn build(dir: &Path, form: Form, observer: &dyn Fn(BuildEvent)) -> Result<PathBuf, Error> {
    let started = Instant::now();
    let dir = std::path::absolute(dir).map_err(io("resolve", dir))?;
    observer(BuildEvent::Started { project: dir.clone(), form });
    let Artifact { name, file } = match Project::read(&dir)? {
        None => rust::build(&dir, form, observer)?,
        Some(project) => {
            let target = dir.join("target");
            let _lock = cache::lock(&target, observer)?;
            alft_fs::sweep(&target);
            match project.language {
                Language::Rust => rust::build(&dir, form, observer)?,
                Language::Python => python::build(&project, form, observer)?,
                Language::JavaScript => javascript::build(&project, form, observer)?,
                Language::C => c::build(&project, form, observer)?,
            }
        }
    };
    if form == Form::Component {
        check_component(&file)?;
    }
    let size = std::fs::metadata(&file).map_err(io("read", &file))?.len();
    observer(BuildEvent::Finished { name, file: file.clone(), size, elapsed: started.elapsed() });
    Ok(file)
}

/// Returns the language of the project at `dir`.
pub fn language(dir: &Path) -> Result<Language, Error> {
    Ok(Project::read(dir)?.map_or(Language::Rust, |project| project.language))
}

/// Fails if a file does not begin as a component does.
fn check_component(file: &Path) -> Result<(), Error> {
    let found = match Format::read(file)? {
        Format::Component => return Ok(()),
        Format::CoreModule => "a core WebAssembly module",
        Format::NotWasm => "not WebAssembly",
    };
    Err(Error::NotComponent { file: file.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_is_refused_with_the_file_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.wasm");
        std::fs::write(&file, b"\0asm\x01\0\0\0rest").unwrap();
        let text = check_component(&file).unwrap_err().to_string();
        assert!(text.contains("x.wasm") && text.contains("core WebAssembly module"), "{text}");
    }
}
