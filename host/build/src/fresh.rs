//! Whether a plugin was built from the very same files before, and so need not be again.
//!
//! Not for speed alone: random seeds within make every build in Python or JavaScript another file, and runs know their
//! plugins by hash.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::process::io;
use crate::project::Project;

/// What builds leave behind and none reads.
const PASSED_OVER: [&str; 3] = ["target", ".git", "__pycache__"];

/// What a plugin was built from, and where that is noted.
pub(crate) struct Origin {
    hash: String,
    note: PathBuf,
}

impl Origin {
    /// Of the project's file `target/FILE`, made by `tool` with the sdk's part `glue`.
    pub(crate) fn of(project: &Project, file: &Path, tool: &str, glue: &str) -> Result<Self, Error> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            // Lengths keep two neighbours apart.
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
            add(&fs::read(&path).map_err(io("reading", &path))?);
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let note = project.target("alft")?.join(format!("{name}.from"));
        Ok(Self { hash: hasher.finalize().to_hex().to_string(), note })
    }

    /// Whether `file` was built from it.
    pub(crate) fn made(&self, file: &Path) -> bool {
        file.is_file() && fs::read_to_string(&self.note).is_ok_and(|noted| noted == self.hash)
    }

    /// Notes that it has just been built.
    pub(crate) fn note(&self) -> Result<(), Error> {
        fs::write(&self.note, &self.hash).map_err(io("writing", &self.note))
    }

    /// Forgets what was built before: a build that breaks off leaves a file that is not to be trusted.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        match fs::remove_file(&self.note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("removing", &self.note)(error)),
            _ => Ok(()),
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(io("reading", folder))? {
        let entry = entry.map_err(io("reading", folder))?;
        let path = entry.path();
        match PASSED_OVER.iter().any(|name| entry.file_name() == *name) {
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
    fn a_changed_file_is_built_anew_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("plugin.toml", "name = 'a'\nversion = '1'\nlanguage = 'js'\nroles = ['reader']");
        write("plugin.js", "1");
        let project = Project::read(dir.path()).unwrap().unwrap();
        let file = project.target("a.wasm").unwrap();
        fs::create_dir_all(dir.path().join("target/alft")).unwrap();
        let origin = || Origin::of(&project, &file, "tool 1", "glue").unwrap();
        assert!(!origin().made(&file));
        origin().note().unwrap();
        assert!(!origin().made(&file), "the file itself is missing");
        fs::write(&file, "wasm").unwrap();
        assert!(origin().made(&file));
        write("plugin.js", "2");
        assert!(!origin().made(&file));
        origin().note().unwrap();
        assert!(!Origin::of(&project, &file, "tool 2", "glue").unwrap().made(&file), "another compiler");
        origin().forget().unwrap();
        origin().forget().unwrap();
        assert!(!origin().made(&file));
    }
}
