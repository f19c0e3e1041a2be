//! Progress and messages of a run, as values for whoever watches it.

use std::fmt;
use std::path::Path;

use alft_policy::{Download, SampleMemory, UpdateMemory};

use crate::plugins::PluginEvent;
use crate::record::{GameLine, WarmStartLine};
use crate::stats::Averages;
use crate::warning::Warning;

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent<'a> {
    /// The device was opened; its name for people.
    Device(&'a str),
    /// A file of a model is being fetched from a hub.
    Download(Download<'a>),
    /// The largest memory that sampling takes.
    SampleMemory(&'a SampleMemory),
    /// The largest memory that an update takes.
    UpdateMemory(&'a UpdateMemory),
    /// A plugin is being built, or was opened.
    Plugin(PluginEvent<'a>),
    /// The run's folder was made or opened.
    RunDir(&'a Path),
    /// A phase begins, or goes on after a resume.
    PhaseStarted {
        /// The phase.
        phase: Phase,
        /// Steps, or questions of an evaluation, that are done.
        done: u64,
        /// Steps or questions of the phase.
        total: u64,
    },
    /// A supervised step was made.
    WarmStartStep(&'a WarmStartLine),
    /// A step of the game was made.
    GameStep(&'a GameLine),
    /// Some questions of an evaluation were answered.
    Evaluated {
        /// Questions so far.
        done: u64,
        /// Averages so far.
        averages: &'a Averages,
    },
    /// The phase that was started last is over.
    PhaseFinished,
    /// The run goes on, but not as it should.
    Warning(&'a Warning),
    /// A plugin failed in a way that the run has not seen yet.
    PluginFailed(&'a str),
    /// Other plugins, limits or another learning rate are in force.
    ConfigChanged {
        /// The first step with the new configuration.
        step: u64,
        /// The changes in words.
        changes: &'a [String],
        /// The change was read from the record of a resumed run.
        replayed: bool,
    },
    /// The run file that a resumed run was given asks for a change that cannot be made; the run keeps what it has.
    ConfigRefused(&'a crate::Error),
}

/// A phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Supervised training.
    WarmStart,
    /// The evaluation before the game.
    EvaluationBefore,
    /// The game.
    Game,
    /// An evaluation between two steps of the game.
    Evaluation,
    /// The evaluation after the game.
    EvaluationAfter,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WarmStart => "warm start",
            Self::EvaluationBefore => "before",
            Self::Game => "game",
            Self::Evaluation => "evaluation",
            Self::EvaluationAfter => "after",
        })
    }
}

/// The function that is told of a run's events.
pub type Observer = Box<dyn FnMut(&RunEvent<'_>) + Send>;
