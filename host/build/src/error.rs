//! What can go wrong: every message names the place, the reason and the remedy.

use std::fmt;
use std::path::PathBuf;

use crate::{Form, Language};

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder holds no project.
    #[error(
        "{}: there is no Cargo.toml and no plugin.toml, so this is no plugin project; name the folder that holds one, \
         or start one with `alft plugin new`", .0.display()
    )]
    NoProject(PathBuf),

    /// plugin.toml cannot be used.
    #[error("{}: {reason}", file.display())]
    Project {
        /// The plugin.toml.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The author's file is not there.
    #[error("{}: there is no such file, and a plugin in {language} is written in it", file.display())]
    NoSource {
        /// The file.
        file: PathBuf,
        /// The language of plugin.toml.
        language: Language,
    },

    /// A native library was asked of a language that has none.
    #[error("{name} is in {language}, which makes components alone; leave out --native (form = \"native\")")]
    ComponentOnly {
        /// The plugin's name.
        name: String,
        /// Its language.
        language: Language,
    },

    /// A compiler is not there and cannot be fetched.
    #[error("{tool} cannot be installed: {remedy}\n{failed}")]
    NoTool {
        /// Its package and version.
        tool: String,
        /// What it takes.
        remedy: &'static str,
        /// The package manager's last words.
        failed: Failed,
    },

    /// A core module in C does not become a component.
    #[error("{name} does not become a component: {reason}")]
    Component {
        /// The plugin's name.
        name: String,
        /// What does not fit.
        reason: String,
    },

    /// A name that will not do.
    #[error("{0}")]
    Name(String),

    /// A new plugin that does nothing.
    #[error("a plugin has a role; name one or more of reader, verifier and objective")]
    NoRole,

    /// A new project would lie upon something.
    #[error("{}: there is something in it already; name another folder with --dir", .0.display())]
    NotEmpty(PathBuf),

    /// A crate has no sdk to depend on.
    #[error(
        "a plugin in Rust depends on the crate alft-sdk, which is not published, and {}; name the folder of alft's \
         checkout that holds it with --sdk", missing(.0.as_deref())
    )]
    NoSdk(Option<PathBuf>),

    /// The manifest is a workspace without a package of its own.
    #[error("{}: a workspace and no package; name the folder of the plugin within it", .0.display())]
    NoPackage(PathBuf),

    /// The package is no library.
    #[error(
        "{}: package `{name}` has no library to load; a plugin is one: write src/lib.rs, and in Cargo.toml\n    \
         [lib]\n    crate-type = [\"cdylib\", \"rlib\"]",
        manifest.display()
    )]
    NoLibrary {
        /// The package's name.
        name: String,
        /// Its manifest.
        manifest: PathBuf,
    },

    /// `cargo metadata` said something unexpected.
    #[error("{}: cannot make out what `cargo metadata` says of it: {reason}; update cargo", manifest.display())]
    Metadata {
        /// The manifest asked about.
        manifest: PathBuf,
        /// What is missing.
        reason: String,
    },

    /// The compiler refused the plugin.
    #[error("{name} does not build as a {form}: {failed}")]
    Compile {
        /// The package's name.
        name: String,
        /// What it was to become.
        form: Form,
        /// Cargo's last words.
        failed: Failed,
    },

    /// The linker left something other than a component.
    #[error(
        "{}: {found}, not a component; does the crate call the sdk's `export!`, and does its linker setting \
         leave `wasm-component-ld` in place?", file.display()
    )]
    NotComponent {
        /// What was built.
        file: PathBuf,
        /// What it is.
        found: &'static str,
    },

    /// No road led to a WebAssembly compiler.
    #[error(
        "no compiler here builds for wasm32-unknown-unknown; tried:{}\nremedy: `rustup target add \
         wasm32-unknown-unknown` where rustup can download; or a Debian machine whose apt-get can", list(.0)
    )]
    NoWasmToolchain(Vec<Attempt>),

    /// The compiler came without the linker that makes components.
    #[error(
        "no `wasm-component-ld`, the linker that makes components: neither in {} nor on PATH; the toolchains that \
         rustup installs have it, or run `cargo install wasm-component-ld`", .0.display()
    )]
    NoLinker(PathBuf),

    /// Another program failed.
    #[error(transparent)]
    Command(#[from] Failed),

    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "reading".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A program that did not start, failed, or took too long.
#[derive(Debug, thiserror::Error)]
#[error("`{command}`: {reason}{}{tail}", if tail.is_empty() { "" } else { "\n" })]
pub struct Failed {
    /// The command line.
    pub command: String,
    /// How it ended, and the remedy where one is known.
    pub reason: String,
    /// The last lines it wrote to standard error.
    pub tail: String,
}

/// One road to a toolchain, and where it ended.
#[derive(Debug)]
pub struct Attempt {
    /// What was tried.
    pub what: &'static str,
    /// Why it came to nothing.
    pub why: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why.replace('\n', "\n    "))
    }
}

fn missing(sdk: Option<&std::path::Path>) -> String {
    match sdk {
        Some(sdk) => format!("{} does not hold it", sdk.display()),
        None => "the checkout that this alft was built from is gone".to_owned(),
    }
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  - {attempt}")).collect()
}
