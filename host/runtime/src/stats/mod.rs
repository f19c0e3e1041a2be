//! Statistics: of a step, of each plugin in a step, and of each plugin over a run.

mod mean;
mod step;
mod totals;

pub use mean::Mean;
pub use step::{Averages, PluginStepStats, StepStats};
pub use totals::{PluginTotals, failure_counts};
