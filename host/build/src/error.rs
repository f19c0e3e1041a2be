//! The errors of a build. Every message names the place, the reason and the remedy; causes are kept as sources.

use std::fmt;
use std::path::{Path, PathBuf};

use alft_sdk::roles::Role;
use alft_text::Foreign;

use crate::artifact::Form;
use crate::io::IoError;
use crate::language::Language;
use crate::name::NameError;
use crate::process::CommandError;
use crate::toolchain::debian::DebianError;

/// A plugin project that could not be started or built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder holds no project.
    #[error(
        "{}: no plugin project here, for there is no Cargo.toml and no plugin.toml; name the folder that holds one, or \
         start one with `alft plugin new`", Foreign::path(.0)
    )]
    NoProject(PathBuf),

    /// plugin.toml is not valid.
    #[error("{} is not valid", Foreign::path(file))]
    ProjectFile {
        /// The path of plugin.toml.
        file: PathBuf,
        /// The parser's reason, with line and column.
        source: toml::de::Error,
    },

    /// plugin.toml has an empty list of roles.
    #[error(
        "{}: `roles` is empty; name one or more of {}",
        Foreign::path(.0),
        Role::ALL.map(|role| format!("\"{role}\"")).join(", ")
    )]
    NoRoles(PathBuf),

    /// The author's source file is missing.
    #[error("{}: the file is missing, but a plugin in {language} is written in it", Foreign::path(file))]
    NoSource {
        /// The path of the file.
        file: PathBuf,
        /// The language of plugin.toml.
        language: Language,
    },

    /// A native library was requested of a language that has none.
    #[error(
        "{name} is written in {language}, which makes components only; leave out --native (form = \"native\")",
        name = Foreign::new(name)
    )]
    ComponentOnly {
        /// The plugin's name.
        name: String,
        /// The plugin's language.
        language: Language,
    },

    /// A compiler is missing and cannot be installed.
    #[error("{tool} cannot be installed: {remedy}")]
    NoTool {
        /// The package and version of the compiler.
        tool: String,
        /// The requirements of an installation.
        remedy: &'static str,
        /// The failure of the package manager.
        source: CommandError,
    },

    /// A core module built from C could not be made a component.
    #[error("{name} cannot be made a component{remedy}", name = Foreign::new(name))]
    Component {
        /// The plugin's name.
        name: String,
        /// The remedy, or empty where none is known.
        remedy: &'static str,
        /// The encoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The name of a new plugin is not valid.
    #[error(transparent)]
    Name(#[from] NameError),

    /// A new plugin was requested without a role.
    #[error("a plugin needs a role; name one or more of {}", Role::ALL.map(Role::name).join(", "))]
    NewWithoutRole,

    /// The folder of a new project is not empty.
    #[error("{}: the folder is not empty; name another one with --dir", Foreign::path(.0))]
    NotEmpty(PathBuf),

    /// The crate alft-sdk, on which a new crate depends, was not found.
    #[error(
        "a plugin in Rust depends on the crate alft-sdk, which is not published, and {}; name the folder of the crate in \
         a checkout of alft with --sdk", missing_sdk(.0.as_deref())
    )]
    NoSdk(Option<PathBuf>),

    /// The manifest describes a workspace without a package.
    #[error("{}: a workspace without a package; name the folder of the plugin within it", Foreign::path(.0))]
    NoPackage(PathBuf),

    /// The package has no library.
    #[error(
        "{}: package `{name}` has no library, but a plugin is one: write src/lib.rs, and in Cargo.toml\n    \
         [lib]\n    crate-type = [\"cdylib\", \"rlib\"]",
        Foreign::path(manifest),
        name = Foreign::new(name)
    )]
    NoLibrary {
        /// The package's name.
        name: String,
        /// The path of the package's manifest.
        manifest: PathBuf,
    },

    /// `cargo metadata` printed something other than JSON.
    #[error("{}: `cargo metadata` printed no JSON; update cargo", Foreign::path(manifest))]
    MetadataSyntax {
        /// The path of the manifest.
        manifest: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },

    /// `cargo metadata` left out a field.
    #[error("{}: `cargo metadata` printed no field `{field}`; update cargo", Foreign::path(manifest))]
    MetadataField {
        /// The path of the manifest.
        manifest: PathBuf,
        /// The missing field.
        field: &'static str,
    },

    /// The compiler refused the plugin.
    #[error("{name} does not build as a {form}", name = Foreign::new(name))]
    Compile {
        /// The plugin's name.
        name: String,
        /// The form that was requested.
        form: Form,
        /// The compiler's failure, with its messages.
        source: CommandError,
    },

    /// The linker wrote something other than a component.
    #[error(
        "{}: {found}, not a component; check that the crate calls the sdk's `export!`, and that no linker setting \
         replaces `wasm-component-ld`",
        Foreign::path(file)
    )]
    NotComponent {
        /// The file that was built.
        file: PathBuf,
        /// The format of the file.
        found: &'static str,
    },

    /// No compiler for WebAssembly could be found or made.
    #[error(
        "no compiler on this machine builds for wasm32-unknown-unknown; run `rustup target add wasm32-unknown-unknown` \
         where rustup can download, or use a Debian machine where apt-get can. Tried:{}", list(.0)
    )]
    NoWasmToolchain(Vec<Attempt>),

    /// The compiler came without the linker that makes components.
    #[error(
        "no `wasm-component-ld`, the linker that makes components, in {} or on PATH; use a toolchain installed by rustup, \
         which has it, or run `cargo install wasm-component-ld`",
        Foreign::path(.0)
    )]
    NoLinker(PathBuf),

    /// Another program failed.
    #[error(transparent)]
    Command(#[from] CommandError),

    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] IoError),

    /// A file or folder could not be put in place.
    #[error(transparent)]
    Install(#[from] alft_fs::Error),
}

/// A way to get a compiler for WebAssembly that failed.
#[derive(Debug)]
pub struct Attempt {
    /// The name of the method, as in "rustup".
    pub method: &'static str,
    /// The failure.
    pub failure: AttemptFailure,
}

/// The reason that an [`Attempt`] failed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFailure {
    /// The compiler lacks the target's standard library.
    #[error("{compiler} has no {}", Foreign::path(library), compiler = Foreign::new(compiler))]
    NoTarget {
        /// The compiler's name and version.
        compiler: String,
        /// The folder in which the standard library would be.
        library: PathBuf,
    },
    /// The user excluded the method.
    #[error("skipped, ALFT_SKIP_RUSTUP is set")]
    Skipped,
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Debian's compiler could not be made.
    #[error(transparent)]
    Debian(#[from] DebianError),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.method, chain(&self.failure).replace('\n', "\n    "))
    }
}

/// Returns the messages of an error and its causes, joined by colons.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn missing_sdk(named: Option<&Path>) -> String {
    match named {
        Some(folder) => format!("{} does not hold it", Foreign::path(&folder)),
        None => "the checkout that this alft was built from is gone".to_owned(),
    }
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  - {attempt}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Outcome;

    #[test]
    fn a_missing_toolchain_lists_every_attempt_and_the_remedy() {
        let failed = CommandError {
            command: "rustup target add".into(),
            outcome: Outcome::NotFound("rustup".into()),
            stderr: "no network\nat all".into(),
            source: None,
        };
        let text = Error::NoWasmToolchain(vec![
            Attempt { method: "rustup", failure: failed.into() },
            Attempt { method: "Debian's compiler", failure: AttemptFailure::Skipped },
        ])
        .to_string();
        for part in [
            "\n  - rustup: `rustup target add` cannot run: rustup is not installed\n    no network\n    at all",
            "\n  - Debian's compiler: skipped",
            "run `rustup target add",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
