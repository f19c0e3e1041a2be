//! The fingerprint of a component's inputs. A component is built again only if its inputs have changed.
//!
//! This saves time, and it keeps the component's hash, by which runs identify plugins: the compilers of Python and
//! JavaScript use random seeds, so every build gives another file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::Artifact;
use crate::error::Error;
use crate::event::{BuildEvent, Observer};
use crate::io::{IoError, io};
use crate::project::Project;
use crate::tools::Tool;

/// Names of files and folders that builds write and none reads.
const IGNORED: [&str; 3] = ["target", ".git", "__pycache__"];

/// Returns the component `target/NAME.wasm`, which `build` writes to the path it is given. `build` is not called if the
/// project's files, the compiler `tool` and the module `glue` are those of the component that is there.
pub(crate) fn build_if_changed(
    project: &Project,
    (tool, glue): (&Tool, &str),
    observer: Observer<'_>,
    build: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<Artifact, Error> {
    let name = project.name.to_string();
    let file = project.target(&format!("{name}.wasm"))?;
    let inputs = Inputs::read(project, &file, &tool.to_string(), glue)?;
    if inputs.built(&file) {
        observer(BuildEvent::Unchanged { name: name.clone() });
    } else {
        inputs.forget()?;
        alft_fs::file(&file, build)?;
        inputs.record()?;
    }
    Ok(Artifact { name, file })
}

/// The fingerprint of a component's inputs, and the file that records it beside the component.
struct Inputs {
    hash: String,
    record: PathBuf,
}

impl Inputs {
    /// Hashes the project's files, its world, and the compiler and module that make `file` of them.
    fn read(project: &Project, file: &Path, tool: &str, glue: &str) -> Result<Self, IoError> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            // The length keeps two neighbouring parts apart.
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        for part in [tool, glue, &project.wit()] {
            add(part.as_bytes());
        }
        let mut files = Vec::new();
        collect(&project.dir, &mut files)?;
        files.sort();
        for path in files {
            let name = path.strip_prefix(&project.dir).unwrap_or(&path);
            add(name.as_os_str().as_encoded_bytes());
            add(&alft_fs::read(&path, alft_fs::MAX_DATA).map_err(io("read", &path))?);
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let record = project.target("alft")?.join(format!("{name}.from"));
        Ok(Self { hash: hasher.finalize().to_hex().to_string(), record })
    }

    /// Returns true if `file` was built from these inputs.
    fn built(&self, file: &Path) -> bool {
        file.is_file() && fs::read_to_string(&self.record).is_ok_and(|recorded| recorded == self.hash)
    }

    /// Records that the component was built from these inputs.
    fn record(&self) -> Result<(), Error> {
        if let Some(folder) = self.record.parent() {
            fs::create_dir_all(folder).map_err(io("create", folder))?;
        }
        Ok(alft_fs::write(&self.record, self.hash.as_bytes())?)
    }

    /// Removes the record, before the component is replaced by one from other inputs.
    fn forget(&self) -> Result<(), IoError> {
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &self.record)(error)),
            _ => Ok(()),
        }
    }
}

/// Adds all files below `folder` to `files`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), IoError> {
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        let entry = entry.map_err(io("read", folder))?;
        let path = entry.path();
        match IGNORED.iter().any(|name| entry.file_name() == *name) {
            true => {}
            false if path.is_dir() => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_or_compiler_needs_a_build_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("plugin.toml", "name = 'a'\nversion = '1'\nlanguage = 'js'\nroles = ['reader']");
        write("plugin.js", "1");
        let project = Project::read(dir.path()).unwrap().unwrap();
        let file = project.target("a.wasm").unwrap();
        let inputs = || Inputs::read(&project, &file, "tool 1", "glue").unwrap();
        assert!(!inputs().built(&file));
        inputs().record().unwrap();
        assert!(!inputs().built(&file), "the component itself is missing");
        fs::write(&file, "wasm").unwrap();
        assert!(inputs().built(&file));
        write("plugin.js", "2");
        assert!(!inputs().built(&file));
        inputs().record().unwrap();
        assert!(!Inputs::read(&project, &file, "tool 2", "glue").unwrap().built(&file), "another compiler");
        inputs().forget().unwrap();
        inputs().forget().unwrap();
        assert!(!inputs().built(&file));
    }
}
