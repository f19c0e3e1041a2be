//! A new plugin project: a small real plugin of the wanted roles, with its test, that builds as it is.
//!
//! The files are those under `templates/`, filled in by minijinja.

use std::fs;
use std::path::{Path, PathBuf};

use alft_sdk::batch::{Role, Roles};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};

use crate::error::Error;
use crate::languages;
use crate::process::io;
use crate::project::{Language, Name};

/// What is wanted.
#[derive(Debug)]
pub struct NewPlugin {
    /// Small letters, digits and single hyphens.
    pub name: String,
    /// One or more.
    pub roles: Roles,
    /// What it is written in.
    pub language: Language,
    /// The folder to write; it may be there, and empty.
    pub dir: PathBuf,
    /// The folder of the crate alft-sdk, for Rust; that of the checkout this was built from, if `None`.
    pub sdk: Option<PathBuf>,
}

/// A file of a project: its name, and its text or template.
enum File {
    Plain(&'static str, &'static str),
    Filled(&'static str, &'static str),
}
use File::{Filled, Plain};

/// A file under `templates/`.
macro_rules! template {
    ($name:literal) => {
        include_str!(concat!("../templates/", $name, ".j2"))
    };
}

/// How a completion looks that the reader can read, for `alft plugin check`.
const KIT: &str = "kit.json";

const PLUGIN_TOML: File = Filled("plugin.toml", template!("plugin.toml"));

fn files(language: Language) -> Vec<File> {
    let mut files = match language {
        Language::Rust => {
            vec![Filled("Cargo.toml", template!("rust/Cargo.toml")), Filled("src/lib.rs", template!("rust/lib.rs"))]
        }
        Language::Python => vec![
            PLUGIN_TOML,
            Filled("plugin.py", template!("python/plugin.py")),
            Filled("test_plugin.py", template!("python/test_plugin.py")),
            Plain("alft.py", languages::PYTHON),
        ],
        Language::JavaScript => vec![
            PLUGIN_TOML,
            Filled("package.json", template!("js/package.json")),
            Filled("plugin.js", template!("js/plugin.js")),
            Filled("plugin.test.js", template!("js/plugin.test.js")),
            Plain("alft.js", languages::JAVASCRIPT),
        ],
        Language::C => vec![
            PLUGIN_TOML,
            Filled("plugin.c", template!("c/plugin.c")),
            Filled("test.c", template!("c/test.c")),
            Plain("alft.h", languages::HEADER),
        ],
    };
    files.extend([
        Filled("README.md", template!("README.md")),
        Plain(KIT, include_str!("../templates/kit.json")),
        Plain(".gitignore", "/target\n__pycache__\n"),
    ]);
    files
}

/// The command that runs a project's own test.
fn test(language: Language) -> &'static str {
    match language {
        Language::Rust => "cargo test",
        Language::Python => "python3 -m unittest",
        Language::JavaScript => "node --test",
        Language::C => "mkdir -p target && cc -std=c17 -Wall -Wextra test.c -lm -o target/test && target/test",
    }
}

/// Returns one sentence on the template's plugin. `roles` is not empty.
fn summary(roles: Roles) -> String {
    let part = |role| match role {
        Role::Reader => "reads the answer after the last marker",
        Role::Grader => "scores a completion 1 if it is short enough, and else 0",
        Role::Verifier => "scores the gold answer 1 and all other answers 0",
        Role::Objective => "rewards rare answers more than common ones",
    };
    let parts = roles.iter().map(part).collect::<Vec<_>>().join("; ");
    parts[..1].to_uppercase() + &parts[1..] + "."
}

/// Writes the project, and returns its folder.
pub fn new(wanted: &NewPlugin) -> Result<PathBuf, Error> {
    let name = Name::try_from(wanted.name.clone()).map_err(Error::Name)?;
    if wanted.roles.is_empty() {
        return Err(Error::NoRole);
    }
    let dir = std::path::absolute(&wanted.dir).map_err(io("resolving", &wanted.dir))?;
    if !is_free(&dir)? {
        return Err(Error::NotEmpty(dir));
    }
    let language = wanted.language;
    let sdk = match language {
        Language::Rust => sdk(wanted.sdk.as_deref())?,
        Language::Python | Language::JavaScript | Language::C => PathBuf::new(),
    };
    let mut templates = Environment::empty();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    templates.set_syntax(syntax.build().expect("the delimiters are the usual ones"));
    let has = |role| wanted.roles.has(role);
    let values = context! {
        name => name.as_str(),
        type => type_name(name.as_str()),
        language => language.key(),
        roles => wanted.roles.iter().map(Role::name).collect::<Vec<_>>(),
        traits => wanted.roles.iter().map(|role| type_name(role.name())).collect::<Vec<_>>().join(" + "),
        reader => has(Role::Reader),
        grader => has(Role::Grader),
        verifier => has(Role::Verifier),
        objective => has(Role::Objective),
        summary => summary(wanted.roles),
        sdk => quoted(&sdk),
        conformance => quoted(&sdk.join("conformance")),
        test => test(language),
    };
    for file in files(language) {
        let (file, text) = match file {
            Plain(file, text) => (file, text.to_owned()),
            Filled(file, template) => {
                (file, templates.render_str(template, values.clone()).expect("the templates are tested"))
            }
        };
        if file == KIT && !has(Role::Reader) {
            continue;
        }
        let path = dir.join(file);
        let parent = path.parent().expect("a file of a folder");
        fs::create_dir_all(parent).map_err(io("making", parent))?;
        fs::write(&path, text).map_err(io("writing", &path))?;
    }
    Ok(dir)
}

/// Returns a path as a TOML string.
fn quoted(path: &Path) -> String {
    toml::Value::from(path.display().to_string()).to_string()
}

/// Returns true if `dir` does not exist or is empty.
fn is_free(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(dir) {
        Ok(mut files) => Ok(files.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io("reading", dir)(error)),
    }
}

/// The crate that a project in Rust depends on.
fn sdk(named: Option<&Path>) -> Result<PathBuf, Error> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
    let sdk = named.map_or_else(own, Path::to_owned);
    let is_sdk = |sdk: &Path| {
        let manifest = fs::read_to_string(sdk.join("Cargo.toml"));
        manifest.is_ok_and(|manifest| manifest.contains("name = \"alft-sdk\""))
    };
    match sdk.canonicalize() {
        Ok(sdk) if is_sdk(&sdk) => Ok(sdk),
        _ => Err(Error::NoSdk(named.map(Path::to_owned))),
    }
}

/// `exact-match` as a type: `ExactMatch`.
fn type_name(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(dir: &Path, name: &str, roles: &[Role], language: Language) -> NewPlugin {
        NewPlugin {
            name: name.into(),
            roles: roles.iter().copied().collect(),
            language,
            dir: dir.join(name),
            sdk: None,
        }
    }

    #[test]
    fn every_language_and_set_of_roles_fills_its_templates() {
        let dir = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            for set in 1..16 {
                let roles: Vec<Role> = (0..4).filter(|bit| set >> bit & 1 == 1).map(|bit| Role::ALL[bit]).collect();
                let name = format!("p{set}-{}", language.key());
                let project = new(&wanted(dir.path(), &name, &roles, language)).unwrap();
                for file in files(language) {
                    let (Plain(file, _) | Filled(file, _)) = file;
                    if file == KIT && !roles.contains(&Role::Reader) {
                        continue;
                    }
                    let text = fs::read_to_string(project.join(file)).unwrap();
                    assert!(!text.contains("{%") && !text.contains("{{ ") && text.ends_with('\n'), "{file}: {text}");
                    assert!(!text.contains("\n\n\n\n") && !text.contains(" \n"), "{file}: {text}");
                }
                let read = crate::project::Project::read(&project).unwrap();
                assert_eq!(
                    read.map(|read| read.roles.iter().collect::<Vec<_>>()),
                    match language {
                        Language::Rust => None,
                        _ => Some(roles),
                    }
                );
            }
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(dir.path(), "mine", &[Role::Reader], Language::Python);
        fs::create_dir(&wanted.dir).unwrap();
        fs::write(wanted.dir.join("notes.txt"), "").unwrap();
        assert!(matches!(new(&wanted), Err(Error::NotEmpty(at)) if at == wanted.dir));
    }

    #[test]
    fn a_crate_needs_the_sdk() {
        let dir = tempfile::tempdir().unwrap();
        let mut wanted = wanted(dir.path(), "mine", &[Role::Reader], Language::Rust);
        wanted.sdk = Some(dir.path().into());
        let error = new(&wanted).unwrap_err().to_string();
        assert!(error.contains("--sdk") && error.contains(dir.path().to_str().unwrap()), "{error}");
        assert!(!wanted.dir.exists());
    }

    #[test]
    fn a_name_becomes_a_type() {
        assert_eq!(type_name("exact-match-2"), "ExactMatch2");
    }
}
