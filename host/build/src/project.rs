//! plugin.toml: the description of a project that has no Cargo.toml.
//!
//! ```toml
//! name = "exact"
//! version = "0.1.0"
//! language = "python"      # or "js" or "c"
//! roles = ["verifier"]     # one or more of "reader", "grader", "verifier" and "objective"
//! ```

use std::path::{Path, PathBuf};

use alft_sdk::roles::Roles;
use serde::Deserialize;

use crate::error::Error;
use crate::io::{IoError, io};
use crate::language::Language;
use crate::name::Name;

/// The name of the file.
const FILE: &str = "plugin.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Name,
    version: String,
    language: Language,
    roles: Roles,
}

/// A project that has a plugin.toml.
#[derive(Debug)]
pub(crate) struct Project {
    /// The project's folder, an absolute path.
    pub(crate) dir: PathBuf,
    pub(crate) name: Name,
    pub(crate) version: String,
    pub(crate) language: Language,
    /// One role or more.
    pub(crate) roles: Roles,
}

impl Project {
    /// Reads plugin.toml in `dir`, an absolute path; returns `None` if the folder has a Cargo.toml instead.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let file = dir.join(FILE);
        if !file.is_file() {
            let cargo = dir.join("Cargo.toml").is_file();
            return if cargo { Ok(None) } else { Err(Error::NoProject(dir.to_owned())) };
        }
        let text = alft_fs::read_to_string(&file, alft_fs::MAX_SETTINGS).map_err(io("read", &file))?;
        match toml::from_str(&text) {
            Err(source) => Err(Error::ProjectFile { file, source }),
            Ok(File { roles, .. }) if roles.is_empty() => Err(Error::NoRoles(file)),
            Ok(File { name, version, language, roles }) => {
                Ok(Some(Self { dir: dir.to_owned(), name, version, language, roles }))
            }
        }
    }

    /// Returns the path of the author's file `name`. Fails if there is no such file.
    pub(crate) fn source(&self, name: &'static str) -> Result<PathBuf, Error> {
        let file = self.dir.join(name);
        if file.is_file() { Ok(file) } else { Err(Error::NoSource { file, language: self.language }) }
    }

    /// Returns `target/FILE`, the path of a built file, and creates the folder.
    pub(crate) fn target(&self, file: &str) -> Result<PathBuf, IoError> {
        let target = self.dir.join("target");
        std::fs::create_dir_all(&target).map_err(io("create", &target))?;
        Ok(target.join(file))
    }

    /// Returns the folder that keeps compilers.
    pub(crate) fn cache(&self) -> Result<PathBuf, IoError> {
        crate::cache::folder(&self.dir.join("target").join("alft"))
    }

    /// Creates an empty folder for the files that a build needs besides the author's.
    pub(crate) fn stage(&self) -> Result<PathBuf, IoError> {
        let stage = self.dir.join("target").join("alft").join("stage");
        if stage.exists() {
            std::fs::remove_dir_all(&stage).map_err(io("empty", &stage))?;
        }
        std::fs::create_dir_all(&stage).map_err(io("create", &stage))?;
        Ok(stage)
    }

    /// Returns the contract with the world `plugin`, which exports the project's roles.
    pub(crate) fn wit(&self) -> String {
        let exports: String = self.roles.iter().map(|role| format!("    export {role};\n")).collect();
        format!("{}\nworld plugin {{\n    import diagnostics;\n    export about;\n{exports}}}\n", crate::assets::WIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Option<Project>, Error> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), toml).unwrap();
        Project::read(dir.path())
    }

    #[test]
    fn a_project_file_gives_name_language_and_roles() {
        let toml = "name = 'a-b2'\nversion = '1.2.3'\nlanguage = 'js'\nroles = ['objective', 'reader']";
        let project = read(toml).unwrap().unwrap();
        assert_eq!((project.name.as_str(), project.language), ("a-b2", Language::JavaScript));
        let wit = project.wit();
        assert!(wit.contains("export about;\n    export reader;\n    export objective;\n}"), "{wit}");
    }

    #[test]
    fn an_error_names_the_file_and_the_value() {
        let good = "name = 'a'\nversion = '1'\nlanguage = 'c'\nroles = ['reader']";
        for (wrong, words) in [
            (good.replace("'c'", "'cobol'"), "cobol"),
            (good.replace("['reader']", "[]"), "`roles` is empty"),
            (good.replace("'reader'", "'raeder'"), "raeder"),
            (good.replace("'a'", "'A plugin'"), "such as \"a-plugin\""),
            (good.replace("version", "vresion"), "vresion"),
        ] {
            let error = read(&wrong).unwrap_err();
            let text = crate::error::chain(&error);
            assert!(text.contains(words) && text.contains("plugin.toml"), "{wrong}: {text}");
        }
    }
}
