//! A run's folder and the records in it.

mod jsonl;
mod logs;
mod metrics;
mod run_dir;
mod samples;
mod scores;
mod summary;

pub use jsonl::JsonlWriter;
pub(crate) use logs::{LogLengths, RunLogs};
pub use metrics::{EvaluationLine, GameLine, PluginLine, TargetLine, TimeLine, WarmStartLine};
pub use run_dir::RunDir;
pub use samples::SampleLine;
pub use scores::ScoreLine;
pub use summary::{Summary, UsageLine};
