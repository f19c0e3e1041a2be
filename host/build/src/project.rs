//! plugin.toml: what a project in a language without cargo says of itself.
//!
//! ```toml
//! name = "exact"
//! version = "0.1.0"
//! language = "python"      # or "js" or "c"
//! roles = ["verifier"]     # one or more of "reader", "grader", "verifier" and "objective"
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use alft_sdk::batch::Roles;
use serde::Deserialize;

use crate::Built;
use crate::error::Error;
use crate::fresh::Origin;
use crate::process::io;
use crate::tools::Tool;

/// The file's name.
const FILE: &str = "plugin.toml";

/// What a plugin can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Language {
    /// A crate, with cargo.
    #[serde(rename = "rust")]
    Rust,
    /// plugin.py, run by CPython inside the component.
    #[serde(rename = "python")]
    Python,
    /// plugin.js, run by QuickJS inside the component.
    #[serde(rename = "js")]
    JavaScript,
    /// plugin.c, on the header alft.h.
    #[serde(rename = "c")]
    C,
}

impl Language {
    /// All of them, the sdk's own first.
    pub const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::JavaScript, Self::C];

    /// Whether it makes native libraries too.
    pub fn is_compiled(self) -> bool {
        matches!(self, Self::Rust | Self::C)
    }

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "js",
            Self::C => "c",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::C => "C",
        })
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|language| language.key() == text);
        found.ok_or_else(|| "there are rust, python, js and c".to_owned())
    }
}

/// A plugin's name: small letters, digits and single hyphens, a letter first, so that it is a file's name and a crate's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let words = name.split('-').all(|word| !word.is_empty());
        let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if words && letters && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 64 {
            return Ok(Self(name));
        }
        let rule = "a plugin's name is small letters, digits and single hyphens, a letter first";
        Err(format!("\"{name}\": {rule}; such as \"{}\"", suggest(&name)))
    }
}

/// The nearest name that will do.
fn suggest(name: &str) -> String {
    // A capital within a word begins another.
    let spaced = name.chars().flat_map(|c| c.is_uppercase().then_some('-').into_iter().chain(c.to_lowercase()));
    let kept: String = spaced.map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = kept.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(64);
    match name.trim_end_matches('-') {
        name if name.starts_with(|c: char| c.is_ascii_lowercase()) => name.to_owned(),
        _ => "my-plugin".to_owned(),
    }
}

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
    /// An absolute path.
    pub(crate) dir: PathBuf,
    pub(crate) name: Name,
    pub(crate) version: String,
    pub(crate) language: Language,
    /// One or more.
    pub(crate) roles: Roles,
}

impl Project {
    /// Reads plugin.toml in `dir`, an absolute path; `None` where there is a Cargo.toml in its place.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let file = dir.join(FILE);
        if !file.is_file() {
            let cargo = dir.join("Cargo.toml").is_file();
            return if cargo { Ok(None) } else { Err(Error::NoProject(dir.to_owned())) };
        }
        let text = std::fs::read_to_string(&file).map_err(io("reading", &file))?;
        let bad = |reason: String| Error::Project { file: file.clone(), reason };
        let File { name, version, language, roles } = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if roles.is_empty() {
            return Err(bad(
                "`roles` is empty; name one or more of \"reader\", \"grader\", \"verifier\" and \"objective\"".into(),
            ));
        }
        Ok(Some(Self { dir: dir.to_owned(), name, version, language, roles }))
    }

    /// The author's file, which must be there.
    pub(crate) fn source(&self, name: &'static str) -> Result<PathBuf, Error> {
        let file = self.dir.join(name);
        if file.is_file() { Ok(file) } else { Err(Error::NoSource { file, language: self.language }) }
    }

    /// Where what is built goes: `target/FILE`.
    pub(crate) fn target(&self, file: &str) -> Result<PathBuf, Error> {
        let target = self.dir.join("target");
        std::fs::create_dir_all(&target).map_err(io("making", &target))?;
        Ok(target.join(file))
    }

    /// Where compilers are kept.
    pub(crate) fn cache(&self) -> Result<PathBuf, Error> {
        crate::cache(&self.dir.join("target").join("alft"))
    }

    /// Makes `target/NAME.wasm` with `make`, which is given the file, unless it was made from the same files before.
    pub(crate) fn component(
        &self,
        (tool, glue): (&Tool, &str),
        say: &dyn Fn(&str),
        make: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Built, Error> {
        let name = self.name.as_str().to_owned();
        let file = self.target(&format!("{name}.wasm"))?;
        let origin = Origin::of(self, &file, &tool.to_string(), glue)?;
        if origin.made(&file) {
            say(&format!("{name} was built from the same files before"));
        } else {
            origin.forget()?;
            make(&file)?;
            origin.note()?;
        }
        Ok(Built { name, file })
    }

    /// An empty folder for what a build needs besides the author's files.
    pub(crate) fn stage(&self) -> Result<PathBuf, Error> {
        let stage = self.dir.join("target").join("alft").join("stage");
        if stage.exists() {
            std::fs::remove_dir_all(&stage).map_err(io("emptying", &stage))?;
        }
        std::fs::create_dir_all(&stage).map_err(io("making", &stage))?;
        Ok(stage)
    }

    /// The contract, with a world `plugin` that exports this project's roles.
    pub(crate) fn wit(&self) -> String {
        let exports: String = self.roles.iter().map(|role| format!("    export {role};\n")).collect();
        format!("{}\nworld plugin {{\n    import diagnostics;\n    export about;\n{exports}}}\n", crate::languages::WIT)
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
    fn a_project_says_what_it_is() {
        let toml = "name = 'a-b2'\nversion = '1.2.3'\nlanguage = 'js'\nroles = ['objective', 'reader']";
        let project = read(toml).unwrap().unwrap();
        assert_eq!((project.name.as_str(), project.language), ("a-b2", Language::JavaScript));
        let wit = project.wit();
        assert!(wit.contains("export about;\n    export reader;\n    export objective;\n}"), "{wit}");
    }

    #[test]
    fn a_mistake_is_named_with_its_file() {
        let good = "name = 'a'\nversion = '1'\nlanguage = 'c'\nroles = ['reader']";
        for (wrong, words) in [
            (good.replace("'c'", "'cobol'"), "cobol"),
            (good.replace("['reader']", "[]"), "`roles` is empty"),
            (good.replace("'reader'", "'raeder'"), "raeder"),
            (good.replace("'a'", "'A plugin'"), "such as \"a-plugin\""),
            (good.replace("version", "vresion"), "vresion"),
        ] {
            let error = read(&wrong).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("plugin.toml"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_name_that_will_not_do_gets_one_that_does() {
        for (name, better) in [
            ("MyPlugin", "my-plugin"),
            ("two words", "two-words"),
            ("under_score", "under-score"),
            ("-x--y-", "x-y"),
            ("größe", "gr-e"),
            ("7up", "my-plugin"),
            ("", "my-plugin"),
            ("../../etc", "etc"),
        ] {
            let error = Name::try_from(name.to_owned()).unwrap_err();
            assert!(error.contains(&format!("such as \"{better}\"")), "{error}");
            Name::try_from(better.to_owned()).unwrap();
        }
    }
}
