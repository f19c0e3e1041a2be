//! Writes a new plugin project: a small working plugin with the requested roles, and its test.
//!
//! The files are those under `templates/`, filled in by minijinja.

use std::fs;
use std::path::{Path, PathBuf};

use alft_sdk::roles::{Role, Roles};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};

use crate::assets::{HEADER, JAVASCRIPT, PYTHON};
use crate::error::Error;
use crate::io::{IoError, io};
use crate::language::Language;
use crate::name::Name;

/// The description of a new project.
#[derive(Debug)]
pub struct NewPlugin {
    /// The plugin's name: lower-case letters, digits and single hyphens.
    pub name: String,
    /// The plugin's roles, one or more.
    pub roles: Roles,
    /// The language of the sources.
    pub language: Language,
    /// The folder to write to, which is created, or empty.
    pub dir: PathBuf,
    /// The folder of the crate alft-sdk, for a plugin in Rust; `None` for that of the checkout this crate was built from.
    pub sdk: Option<PathBuf>,
}

/// A file of a project, with its name.
enum File {
    /// A text that is copied.
    Plain(&'static str, &'static str),
    /// A template that is filled in.
    Filled(&'static str, &'static str),
}
use File::{Filled, Plain};

/// Returns the text of a file under `templates/`.
macro_rules! template {
    ($name:literal) => {
        include_str!(concat!("../templates/", $name, ".j2"))
    };
}

/// The file with a completion that the reader can read, for `alft plugin check`.
const KIT: &str = "kit.json";

const PLUGIN_TOML: File = Filled("plugin.toml", template!("plugin.toml"));

/// Returns the files of a project in a language.
fn files(language: Language) -> Vec<File> {
    let mut files = match language {
        Language::Rust => {
            vec![Filled("Cargo.toml", template!("rust/Cargo.toml")), Filled("src/lib.rs", template!("rust/lib.rs"))]
        }
        Language::Python => vec![
            PLUGIN_TOML,
            Filled("plugin.py", template!("python/plugin.py")),
            Filled("test_plugin.py", template!("python/test_plugin.py")),
            Plain("alft.py", PYTHON),
        ],
        Language::JavaScript => vec![
            PLUGIN_TOML,
            Filled("package.json", template!("js/package.json")),
            Filled("plugin.js", template!("js/plugin.js")),
            Filled("plugin.test.js", template!("js/plugin.test.js")),
            Plain("alft.js", JAVASCRIPT),
        ],
        Language::C => vec![
            PLUGIN_TOML,
            Filled("plugin.c", template!("c/plugin.c")),
            Filled("test.c", template!("c/test.c")),
            Plain("alft.h", HEADER),
        ],
    };
    files.extend([
        Filled("README.md", template!("README.md")),
        Plain(KIT, include_str!("../templates/kit.json")),
        Plain(".gitignore", "/target\n__pycache__\n"),
    ]);
    files
}

/// Returns the command that runs a project's test.
fn test_command(language: Language) -> &'static str {
    match language {
        Language::Rust => "cargo test",
        Language::Python => "python3 -m unittest",
        Language::JavaScript => "node --test",
        Language::C => "mkdir -p target && cc -std=c17 -Wall -Wextra test.c -lm -o target/test && target/test",
    }
}

/// Describes the template's plugin in one sentence. There is at least one role.
fn summary(roles: Roles) -> String {
    let part = |role: Role| match role {
        Role::Reader => "reads the answer after the last marker",
        Role::Grader => "scores a completion 1 if it is short enough, and else 0",
        Role::Verifier => "scores the gold answer 1 and all other answers 0",
        Role::Objective => "rewards rare answers more than common ones",
    };
    let parts = roles.iter().map(part).collect::<Vec<_>>().join("; ");
    parts[..1].to_uppercase() + &parts[1..] + "."
}

/// Writes the project and returns its folder, as an absolute path.
pub fn new(wanted: &NewPlugin) -> Result<PathBuf, Error> {
    let name = Name::try_from(wanted.name.clone())?;
    if wanted.roles.is_empty() {
        return Err(Error::NewWithoutRole);
    }
    let dir = std::path::absolute(&wanted.dir).map_err(io("resolve", &wanted.dir))?;
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
    templates.set_syntax(syntax.build().expect("the default delimiters are valid"));
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
        test => test_command(language),
    };
    for file in files(language) {
        let (file, text) = match file {
            Plain(file, text) => (file, text.to_owned()),
            Filled(file, template) => {
                (file, templates.render_str(template, values.clone()).expect("tests fill every template"))
            }
        };
        if file == KIT && !has(Role::Reader) {
            continue;
        }
        let path = dir.join(file);
        let parent = path.parent().expect("the path of a file in a folder has a parent");
        fs::create_dir_all(parent).map_err(io("create", parent))?;
        fs::write(&path, text).map_err(io("write", &path))?;
    }
    Ok(dir)
}

/// Returns a path as a TOML string.
fn quoted(path: &Path) -> String {
    toml::Value::from(path.display().to_string()).to_string()
}

/// Returns true if the folder does not exist or is empty, so that nothing would be overwritten.
fn is_free(dir: &Path) -> Result<bool, IoError> {
    match fs::read_dir(dir) {
        Ok(mut files) => Ok(files.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io("read", dir)(error)),
    }
}

/// Returns the folder of the crate alft-sdk, for the manifest of a project in Rust.
fn sdk(named: Option<&Path>) -> Result<PathBuf, Error> {
    let checkout = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
    let sdk = named.map_or_else(checkout, Path::to_owned);
    let is_sdk = |sdk: &Path| {
        let manifest = fs::read_to_string(sdk.join("Cargo.toml"));
        manifest.is_ok_and(|manifest| manifest.contains("name = \"alft-sdk\""))
    };
    match sdk.canonicalize() {
        Ok(sdk) if is_sdk(&sdk) => Ok(sdk),
        _ => Err(Error::NoSdk(named.map(Path::to_owned))),
    }
}

/// Returns the name as that of a type: `ExactMatch` for `exact-match`.
fn type_name(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(dir: &Path, name: &str, roles: Roles, language: Language) -> NewPlugin {
        NewPlugin { name: name.into(), roles, language, dir: dir.join(name), sdk: None }
    }

    #[test]
    fn every_language_and_set_of_roles_fills_its_templates() {
        let dir = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            for set in 1..1 << Role::ALL.len() {
                let roles: Roles =
                    (0..).zip(Role::ALL).filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, role)| role).collect();
                let name = format!("p{set}-{}", language.key());
                let project = new(&wanted(dir.path(), &name, roles, language)).unwrap();
                for file in files(language) {
                    let (Plain(file, _) | Filled(file, _)) = file;
                    if file == KIT && !roles.has(Role::Reader) {
                        continue;
                    }
                    let text = fs::read_to_string(project.join(file)).unwrap();
                    assert!(!text.contains("{%") && !text.contains("{{ ") && text.ends_with('\n'), "{file}: {text}");
                    assert!(!text.contains("\n\n\n\n") && !text.contains(" \n"), "{file}: {text}");
                }
                let read = crate::project::Project::read(&project).unwrap();
                assert_eq!(
                    read.map(|read| read.roles),
                    match language {
                        Language::Rust => None,
                        _ => Some(roles),
                    }
                );
            }
        }
    }

    #[test]
    fn a_folder_with_files_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(dir.path(), "mine", Roles::default().with(Role::Reader), Language::Python);
        fs::create_dir(&wanted.dir).unwrap();
        fs::write(wanted.dir.join("notes.txt"), "").unwrap();
        assert!(matches!(new(&wanted), Err(Error::NotEmpty(at)) if at == wanted.dir));
    }

    #[test]
    fn a_crate_without_the_sdk_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut wanted = wanted(dir.path(), "mine", Roles::default().with(Role::Reader), Language::Rust);
        wanted.sdk = Some(dir.path().into());
        let error = new(&wanted).unwrap_err().to_string();
        assert!(error.contains("--sdk") && error.contains(dir.path().to_str().unwrap()), "{error}");
        assert!(!wanted.dir.exists());
    }

    #[test]
    fn a_name_becomes_the_name_of_a_type() {
        assert_eq!(type_name("exact-match-2"), "ExactMatch2");
    }
}
