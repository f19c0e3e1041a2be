//! Everything that can end a run.

use std::path::{Path, PathBuf};

use alft_plugin_host::{ledger, lock};
use alft_text::Foreign;

use crate::config::RunFileError;
use crate::plugins::PluginError;

/// The result of the runtime's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a run, or an operation on its records, ended. Causes are kept as sources: print the whole chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run file cannot be used.
    #[error(transparent)]
    RunFile(#[from] Box<RunFileError>),

    /// A line of a file of questions, worked examples, games or completions cannot be used.
    #[error("{}, line {line}: {reason}", Foreign::path(path))]
    DataLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The mistake.
        reason: String,
        /// The remedy, or the shape of a right line.
        help: &'static str,
    },

    /// A data file cannot be used as a whole.
    #[error("{}: {reason}", Foreign::path(path))]
    Data {
        /// The file.
        path: PathBuf,
        /// The mistake and the remedy.
        reason: String,
    },

    /// A plugin cannot take its part in the run.
    #[error("plugin \"{name}\" cannot be used", name = Foreign::new(name))]
    Plugin {
        /// The plugin's name in the run file.
        name: String,
        /// The reason and the remedy.
        source: Box<PluginError>,
    },

    /// A plugin's failures end the run.
    #[error("{message}")]
    Failing {
        /// The plugin, the step and the first failure.
        message: String,
        /// The setting that ends the run.
        rule: String,
    },

    /// The WebAssembly engine does not start.
    #[error("the plugins cannot be run")]
    Engine(#[from] alft_plugin_host::EngineError),

    /// A plugin is not the one that `alft.lock` pins.
    #[error(transparent)]
    Lock(#[from] lock::Error),

    /// The model cannot be loaded, sampled or trained.
    #[error(transparent)]
    Model(#[from] alft_policy::Error),

    /// The update of a step, or the policy that it samples, is not finite, so the step was not made.
    #[error(
        "step {step} of the {phase} was not made, and the policy, the optimiser and the targets are as they were before it; \
         {remedy}"
    )]
    NotFinite {
        /// `game` or `warm start`.
        phase: &'static str,
        /// The step of the phase, from 1.
        step: u64,
        /// The remedy.
        remedy: String,
        /// The number that is not finite.
        source: Box<alft_policy::Error>,
    },

    /// The system refused the host what a plugin's call needs. The step is not made, whatever `on_error` says.
    #[error("{message}; the run can be resumed from its last saved state")]
    System {
        /// The plugin, the step and the system's words.
        message: String,
    },

    /// A run cannot be resumed.
    #[error("{}: {reason}", Foreign::path(path))]
    Resume {
        /// The run's folder, or the file in it that is wrong.
        path: PathBuf,
        /// The reason and the remedy.
        reason: String,
    },

    /// A new configuration changes settings that are fixed while a run goes on.
    #[error("{} cannot change while the run goes on", keys.join(", "))]
    FixedSettings {
        /// The qualified keys.
        keys: Vec<String>,
    },

    /// A run whose plugins are linked into the program cannot change them.
    #[error("the run's plugins are linked into this program and cannot be changed; start it from a run file instead")]
    LinkedPlugins,

    /// An estimator has no table for a group size.
    #[error(transparent)]
    Estimator(#[from] alft_game::estimator::Error),

    /// A builtin plugin failed in a simulated game.
    #[error("objective {objective} failed: {failure}", objective = Foreign::new(objective))]
    Objective {
        /// The objective's place and kind.
        objective: String,
        /// The failure and its place.
        failure: String,
    },

    /// The equilibrium of a game is not proved, so nothing can be measured against it.
    #[error("no equilibrium is proved for {}", games.join(", "))]
    Uncertified {
        /// The names of the games.
        games: Vec<String>,
    },

    /// The ledger cannot be written or read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),

    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] alft_fs::Error),

    /// The file system refused an operation.
    #[error("cannot {doing} {}", Foreign::path(path))]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err` on file operations: "cannot {doing} {path}".
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

/// An error and its causes on one line, for messages that do not end a program.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
