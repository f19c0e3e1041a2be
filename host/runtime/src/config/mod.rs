//! The run file: its tables, overrides of its keys, errors that point into it, and what must not change in a run.

mod best;
mod fingerprint;
mod model_files;
mod overrides;
mod paths;
mod plugin;
mod questions;
mod run_file;
mod schedule;
mod serve;
mod serve_file;
mod source;
mod watcher;
mod weight;

pub use best::{Best, EvalMetric, Mode};
pub use fingerprint::{ConfigFingerprint, differences};
pub use plugin::{Isolation, OnError, OnLimit, PluginEntry, PluginForm, Trust};
pub use questions::{DynamicSampling, QuestionOrder};
pub use run_file::{Embedded, Eval, Game, Model, Prompts, RunFile, Train, WarmStart};
pub use schedule::PhaseSchedule;
pub use serve::Serve;
pub use serve_file::ServeFile;
pub use source::{InvalidSetting, RunFileError};
pub use watcher::RunFileWatcher;
pub use weight::{Ramp, Weight};
