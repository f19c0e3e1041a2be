//! Everything that can end a command, with an exit code for each class.

use std::path::{Path, PathBuf};

use alft_plugin_host::ledger;
use miette::{Diagnostic, NamedSource, SourceSpan};

/// The result of a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What ends a command. The class decides the exit code; the text says what, where and what to do.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Error {
    /// The run file cannot be used. Exit code 3.
    #[error("{message}")]
    #[diagnostic(code(alft::run_file))]
    RunFile {
        message: String,
        #[help]
        help: Option<String>,
        #[source_code]
        source_code: NamedSource<String>,
        #[label("here")]
        at: Option<SourceSpan>,
    },

    /// A file of questions or worked examples cannot be used. Exit code 4.
    #[error("{}, line {line}: {reason}", path.display())]
    #[diagnostic(code(alft::data), help("{help}"))]
    DataLine { path: PathBuf, line: usize, reason: String, help: &'static str },

    /// As above, of the whole file.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(code(alft::data))]
    Data { path: PathBuf, reason: String },

    /// A plugin cannot be used. Exit code 5.
    #[error("plugin \"{name}\": {reason}")]
    #[diagnostic(code(alft::plugin))]
    Plugin { name: String, reason: String },

    /// A plugin failed in a way that ends the run. Exit code 5.
    #[error("{message}")]
    #[diagnostic(
        code(alft::failing),
        help("the run ends here, for {why}; --resume goes on from its last saved step once the plugin is mended")
    )]
    Failing { message: String, why: String },

    /// A plugin project cannot be started or built. Exit code 5.
    #[error(transparent)]
    #[diagnostic(code(alft::build))]
    Build(#[from] alft_build::Error),

    /// A plugin does not pass the conformance kit. Exit code 5.
    #[error("{} does not pass: {tests}", plugin.display())]
    #[diagnostic(code(alft::check), help("the line of each says why, and how to run it again"))]
    Check { plugin: PathBuf, tests: String },

    /// The conformance kit has no such test. Exit code 2.
    #[error("there is no test \"{name}\"")]
    #[diagnostic(code(alft::check), help("did you mean `{near}`? there are: {names}"))]
    NoTest { name: String, near: &'static str, names: String },

    /// A plugin is dearer than its budget. Exit code 5.
    #[error("{} is over its budget: {over}", plugin.display())]
    #[diagnostic(code(alft::budget))]
    Budget { plugin: PathBuf, over: String },

    /// The model cannot be loaded, sampled or trained. Exit code 6.
    #[error(transparent)]
    #[diagnostic(code(alft::model))]
    Model(#[from] alft_policy::Error),

    /// A run cannot be resumed. Exit code 7.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(code(alft::resume))]
    Resume { path: PathBuf, reason: String },

    /// An estimator has no such table. Exit code 2.
    #[error("{0}")]
    #[diagnostic(code(alft::estimator))]
    Estimator(String),

    /// A game's equilibrium was not proved. Exit code 8.
    #[error("no equilibrium is proved for {}", games.join(", "))]
    #[diagnostic(
        code(alft::uncertified),
        help("allow more --iterations or a larger --tolerance, or choose other --dynamics")
    )]
    Uncertified { games: Vec<String> },

    /// A recorded call did not give the same again, or the record is not whole. Exit code 9.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(code(alft::replay))]
    Replay { path: PathBuf, reason: String },

    /// As above.
    #[error(transparent)]
    #[diagnostic(code(alft::ledger))]
    Ledger(#[from] ledger::Error),

    /// A plugin is not the one that was approved. Exit code 5.
    #[error(transparent)]
    #[diagnostic(code(alft::lock))]
    Lock(#[from] alft_plugin_host::lock::Error),

    /// The file system said no. Exit code 1.
    #[error("cannot {doing} {}: {reason}", path.display())]
    #[diagnostic(code(alft::io))]
    Io { doing: &'static str, path: PathBuf, reason: std::io::Error },

    /// The picture cannot be drawn. Exit code 1.
    #[error("cannot draw {}: {reason}", path.display())]
    #[diagnostic(code(alft::io))]
    Plot { path: PathBuf, reason: String },
}

/// The classes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 files, disk or an unforeseen failure · 2 wrong command line · 3 run file · 4 questions or worked \
examples · 5 plugins · 6 model or training · 7 cannot resume · 8 no certificate within tolerance · 9 a replay \
differs, or a ledger is broken";

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } | Self::Plot { .. } | Self::Ledger(ledger::Error::Io { .. }) => 1,
            Self::Estimator(_) | Self::NoTest { .. } => 2,
            Self::RunFile { .. } => 3,
            Self::DataLine { .. } | Self::Data { .. } => 4,
            Self::Plugin { .. } | Self::Failing { .. } | Self::Build(_) | Self::Lock(_) => 5,
            Self::Check { .. } | Self::Budget { .. } => 5,
            Self::Model(_) => 6,
            Self::Resume { .. } => 7,
            Self::Uncertified { .. } => 8,
            Self::Replay { .. } | Self::Ledger(_) => 9,
        }
    }

    /// The message with its remedy, for those that do not end a command.
    pub(crate) fn told(&self) -> String {
        match Diagnostic::help(self) {
            Some(help) => format!("{self}; {help}"),
            None => self.to_string(),
        }
    }

    /// For `map_err` on file operations: "cannot {doing} {path}".
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |reason| Self::Io { doing, path, reason }
    }
}
