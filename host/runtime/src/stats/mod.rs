//! Statistics: of a step, of each plugin in a step, and of each plugin over a run.

mod mean;
mod spike;
mod step;
mod totals;

pub use mean::Mean;
pub(crate) use spike::SpikeDetector;
pub use step::{Averages, ItemCount, PluginStepStats, StepStats};
pub use totals::{PluginTotals, failure_counts};
