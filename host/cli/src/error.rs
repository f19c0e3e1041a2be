//! Everything that can end a command, with an exit code for each class.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alft_plugin_host::{EngineError, Failure, FailureKind, ledger, lock};
use alft_registry::Error as RegistryError;
use alft_runtime::Error as RuntimeError;
pub(crate) use alft_runtime::chain;
use alft_runtime::config::RunFileError;
use alft_runtime::plugins::UNTRUSTED;
use alft_text::Foreign;
use miette::{Diagnostic, NamedSource, SourceSpan};

/// The result of a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a command ended. The class decides the exit code; causes are printed below the message.
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

    /// A line of a data file cannot be used. Exit code 4.
    #[error("{}, line {line}: {reason}", Foreign::path(path))]
    #[diagnostic(code(alft::data), help("{help}"))]
    DataLine { path: PathBuf, line: usize, reason: String, help: &'static str },

    /// A data file cannot be used as a whole. Exit code 4.
    #[error("{}: {reason}", Foreign::path(path))]
    #[diagnostic(code(alft::data))]
    Data { path: PathBuf, reason: String },

    /// A plugin's failures ended the run. Exit code 5.
    #[error("{message}")]
    #[diagnostic(
        code(alft::failing),
        help("the run ends because {rule}; --resume goes on from the last saved step after you fix the plugin")
    )]
    Failing { message: String, rule: String },

    /// Anything else that ends a run: the exit code is that of its class.
    #[error(transparent)]
    #[diagnostic(code(alft::run))]
    Run(RuntimeError),

    /// The service does not start, or cannot write its records. The exit code is that of the class.
    #[error(transparent)]
    #[diagnostic(code(alft::serve))]
    Serve(alft_serve::Error),

    /// A plugin given on the command line cannot be used. Exit code 5.
    #[error("plugin \"{name}\" cannot be used", name = Foreign::new(name))]
    #[diagnostic(code(alft::plugin))]
    Plugin { name: String, source: Box<dyn std::error::Error + Send + Sync> },

    /// A plugin given on the command line failed on a game. Exit code 5.
    #[error("plugin \"{plugin}\" failed on game \"{game}\"", plugin = Foreign::new(plugin), game = Foreign::new(game))]
    #[diagnostic(code(alft::plugin))]
    PluginFailed { plugin: String, game: String, source: Box<dyn std::error::Error + Send + Sync> },

    /// A plugin project cannot be started or built. Exit code 5.
    #[error(transparent)]
    #[diagnostic(code(alft::build))]
    Build(#[from] alft_build::Error),

    /// A plugin does not pass the conformance kit. Exit code 5.
    #[error("{} does not pass: {tests}", Foreign::path(plugin))]
    #[diagnostic(code(alft::check), help("the line of each test says why, and how to run it again"))]
    Check { plugin: PathBuf, tests: String },

    /// The conformance kit has no such test. Exit code 2.
    #[error("there is no test \"{name}\"", name = Foreign::new(name))]
    #[diagnostic(code(alft::check), help("did you mean `{near}`? there are: {names}"))]
    NoTest { name: String, near: &'static str, names: String },

    /// A plugin is over its budget. Exit code 5.
    #[error("{} is over its budget: {over}", Foreign::path(plugin))]
    #[diagnostic(code(alft::budget))]
    Budget { plugin: PathBuf, over: String },

    /// The plugins' engine does not start. Exit code 5.
    #[error("the plugins cannot be run")]
    #[diagnostic(code(alft::plugins))]
    Engine(#[from] EngineError),

    /// An estimator has no such table. Exit code 2.
    #[error(transparent)]
    #[diagnostic(code(alft::estimator))]
    Estimator(#[from] alft_game::estimator::Error),

    /// A game's equilibrium was not proved. Exit code 8.
    #[error("no equilibrium is proved for {}", games.join(", "))]
    #[diagnostic(
        code(alft::uncertified),
        help("allow more --iterations or a larger --tolerance, or choose other --dynamics")
    )]
    Uncertified { games: Vec<String> },

    /// A recorded call gave another result, or the record is not whole. Exit code 9.
    #[error("{}: {reason}", Foreign::path(path))]
    #[diagnostic(code(alft::replay))]
    Replay { path: PathBuf, reason: String },

    /// The ledger cannot be read. Exit code 9, or 1 where the system refuses the file.
    #[error(transparent)]
    #[diagnostic(code(alft::ledger))]
    Ledger(#[from] ledger::Error),

    /// A plugin is not the one that was approved. Exit code 5.
    #[error(transparent)]
    #[diagnostic(code(alft::lock))]
    Lock(#[from] lock::Error),

    /// A plugin cannot be published or fetched. Exit code 5, or 1 where the system refuses the cache.
    #[error(transparent)]
    #[diagnostic(code(alft::registry))]
    Registry(#[from] RegistryError),

    /// A device computes otherwise than its twins. Exit code 10.
    #[error("{failed} of {checks} checks of the GPU disagree")]
    #[diagnostic(
        code(alft::gpu),
        help("runs use slower operations in place of the kernels above; report the output with the card and driver")
    )]
    Gpu { failed: usize, checks: usize },

    /// The file system refused an operation. Exit code 1.
    #[error("cannot {doing} {}", Foreign::path(path))]
    #[diagnostic(code(alft::io))]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },

    /// A picture cannot be drawn. Exit code 1.
    #[error("cannot draw {}", Foreign::path(path))]
    #[diagnostic(code(alft::io))]
    Plot { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

/// The classes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 files, disk or an unforeseen failure · 2 wrong command line · 3 run file · 4 questions, examples, \
completions or games · 5 plugins · 6 model or training · 7 cannot resume · 8 no certificate within tolerance · 9 a \
replay differs, or a ledger is broken · 10 a GPU computes wrongly";

impl Error {
    fn code(&self) -> u8 {
        if is_of_system(self) {
            return 1;
        }
        match self {
            Self::Io { .. } | Self::Plot { .. } | Self::Ledger(ledger::Error::Io { .. }) => 1,
            Self::Registry(RegistryError::Cache { .. } | RegistryError::Write(_)) => 1,
            Self::Estimator(_) | Self::NoTest { .. } => 2,
            Self::RunFile { .. } => 3,
            Self::DataLine { .. } | Self::Data { .. } => 4,
            Self::Failing { .. } | Self::Plugin { .. } | Self::PluginFailed { .. } | Self::Build(_) => 5,
            Self::Check { .. } | Self::Budget { .. } | Self::Engine(_) | Self::Lock(_) | Self::Registry(_) => 5,
            Self::Uncertified { .. } => 8,
            Self::Replay { .. } | Self::Ledger(_) => 9,
            Self::Gpu { .. } => 10,
            Self::Serve(error) => match error {
                alft_serve::Error::Token { .. } => 3,
                alft_serve::Error::Record { .. } => 7,
                alft_serve::Error::Ledger(_) => 9,
                alft_serve::Error::Runtime(_) => unreachable!("it became an error of the runtime"),
                alft_serve::Error::Listen { .. } | alft_serve::Error::Io { .. } | alft_serve::Error::Threads(_) => 1,
            },
            Self::Run(error) => match error {
                RuntimeError::Io { .. } | RuntimeError::Write(_) | RuntimeError::Ledger(ledger::Error::Io { .. }) => 1,
                RuntimeError::System { .. } => 1,
                RuntimeError::Estimator(_) => 2,
                RuntimeError::RunFile(_) | RuntimeError::FixedSettings { .. } => 3,
                RuntimeError::DataLine { .. } | RuntimeError::Data { .. } => 4,
                RuntimeError::Plugin { .. } | RuntimeError::Failing { .. } | RuntimeError::Engine(_) => 5,
                RuntimeError::Lock(_) | RuntimeError::LinkedPlugins | RuntimeError::Objective { .. } => 5,
                RuntimeError::Model(alft_policy::Error::Write(_) | alft_policy::Error::WriteTensors { .. }) => 1,
                RuntimeError::Model(_) | RuntimeError::NotFinite { .. } => 6,
                RuntimeError::Resume { .. } => 7,
                RuntimeError::Uncertified { .. } => 8,
                RuntimeError::Ledger(_) => 9,
            },
        }
    }

    /// For `map_err` on file operations: "cannot {doing} {path}".
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` on a plugin that cannot be opened; a native library that is not trusted has a flag for its remedy.
    pub(crate) fn open(name: &str) -> impl FnOnce(alft_plugin_host::Error) -> Self {
        let name = name.to_owned();
        move |error| match error {
            alft_plugin_host::Error::Untrusted { .. } => Self::plugin(&name)(UNTRUSTED),
            error => Self::plugin(&name)(error),
        }
    }

    /// For `map_err` on a plugin given on the command line that failed on a game.
    pub(crate) fn plugin_failed<E>(plugin: &str, game: &str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (plugin, game) = (plugin.to_owned(), game.to_owned());
        move |source| Self::PluginFailed { plugin, game, source: source.into() }
    }

    /// For `map_err` on a plugin given on the command line.
    pub(crate) fn plugin<E: Into<Box<dyn std::error::Error + Send + Sync>>>(name: &str) -> impl FnOnce(E) -> Self {
        let name = name.to_owned();
        move |source| Self::Plugin { name, source: source.into() }
    }
}

/// Errors that have a help text or a place in a text become diagnostics with them.
impl From<RuntimeError> for Error {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::RunFile(error) => (*error).into(),
            RuntimeError::DataLine { path, line, reason, help } => Self::DataLine { path, line, reason, help },
            RuntimeError::Data { path, reason } => Self::Data { path, reason },
            RuntimeError::Failing { message, rule } => Self::Failing { message, rule },
            RuntimeError::Lock(error) => Self::Lock(error),
            RuntimeError::Ledger(error) => Self::Ledger(error),
            RuntimeError::Estimator(error) => Self::Estimator(error),
            RuntimeError::Uncertified { games } => Self::Uncertified { games },
            error => Self::Run(error),
        }
    }
}

impl From<alft_serve::Error> for Error {
    fn from(error: alft_serve::Error) -> Self {
        match error {
            alft_serve::Error::Runtime(error) => (*error).into(),
            error => Self::Serve(error),
        }
    }
}

impl From<alft_policy::Error> for Error {
    fn from(error: alft_policy::Error) -> Self {
        Self::Run(RuntimeError::Model(error))
    }
}

impl From<RunFileError> for Error {
    fn from(error: RunFileError) -> Self {
        let RunFileError { message, help, name, text, span } = error;
        let source_code = NamedSource::new(name, text).with_language("TOML");
        Self::RunFile { message, help, source_code, at: span.map(Into::into) }
    }
}

/// Prints the error that ended a command, with its causes, and returns the exit code of its class.
pub(crate) fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.code();
            // Without colours, which are control characters too: the message quotes files.
            let handler = |_: &_| Box::new(miette::MietteHandlerOpts::new().color(false).build()) as Box<_>;
            let _ = miette::set_hook(Box::new(handler));
            tell!("{:?}", miette::Report::new(Shown::from(error)));
            ExitCode::from(code)
        }
    }
}

/// Characters of a line of a message: the first and the last ones. The remedy stands at the end of a message, after what it
/// quotes.
const FIRST: usize = 700;
const LAST: usize = 300;

/// An error as it is shown. Its texts have no character that steers a terminal and no line without end *before* they are wrapped
/// to the terminal's width: after that, a long name would be hundreds of short lines.
#[derive(Debug)]
struct Shown {
    message: String,
    cause: Option<Box<Shown>>,
    help: Option<String>,
    /// The error itself, for its code and its place in a text; none for a cause.
    error: Option<Error>,
}

impl From<Error> for Shown {
    fn from(error: Error) -> Self {
        let help = error.help().map(|help| shown_lines(&help.to_string()));
        let mut shown = Self::of(&error);
        (shown.help, shown.error) = (help, Some(error));
        shown
    }
}

impl Shown {
    fn of(error: &dyn std::error::Error) -> Self {
        let cause = error.source().map(|cause| Box::new(Self::of(cause)));
        Self { message: shown_lines(&error.to_string()), cause, help: None, error: None }
    }
}

/// Returns true if the system refused what a plugin's call needs, wherever the call was made.
fn is_of_system(error: &(dyn std::error::Error + 'static)) -> bool {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.filter_map(|error| error.downcast_ref::<Failure>()).any(|failure| failure.kind == FailureKind::System)
}

fn shown_lines(text: &str) -> String {
    let shown = |line: &str| alft_text::shown(&line.replace("\t", "    "), FIRST, LAST).into_owned();
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Diagnostic::code(self.error.as_ref()?)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.error.as_ref()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        self.error.as_ref()?.labels()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_the_same_exit_code_whatever_was_being_written() {
        let full = || alft_fs::Error { path: "model".into(), source: std::io::ErrorKind::StorageFull.into() };
        assert_eq!(Error::from(RuntimeError::Write(full())).code(), 1);
        assert_eq!(Error::from(alft_policy::Error::Write(full())).code(), 1);
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
        assert_eq!(Error::from(alft_policy::Error::WriteTensors { path: "model".into(), source }).code(), 1);
    }
}
