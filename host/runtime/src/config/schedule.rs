//! The learning rate in the run file.

use alft_policy::{Decay, Schedule};
use serde::{Deserialize, Serialize};

/// The learning rate over the steps of a phase. A decay ends at the phase's last step, so the number of steps is no key here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhaseSchedule {
    /// Learning rate at the peak.
    pub learning_rate: f64,
    /// Number of steps over which the rate rises to the peak; 0 starts at the peak.
    pub warmup_steps: u64,
    /// Learning rate after the warm-up.
    pub decay: Decay,
    /// Number of steps at the end over which a decaying rate falls; all after the warm-up by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_steps: Option<u64>,
}

impl PhaseSchedule {
    /// Returns the schedule of a phase of `steps` steps.
    pub(crate) fn over(&self, steps: u64) -> Schedule {
        let Self { learning_rate, warmup_steps, decay, decay_steps } = *self;
        // A constant rate does not depend on the number of steps: a longer run has the same schedule.
        let total_steps = match decay {
            Decay::Constant => Schedule::default().total_steps,
            Decay::Cosine | Decay::Linear => steps,
        };
        Schedule { learning_rate, warmup_steps, decay, total_steps, decay_steps }
    }
}

impl From<&Schedule> for PhaseSchedule {
    fn from(schedule: &Schedule) -> Self {
        let Schedule { learning_rate, warmup_steps, decay, decay_steps, .. } = *schedule;
        Self { learning_rate, warmup_steps, decay, decay_steps }
    }
}

impl Default for PhaseSchedule {
    fn default() -> Self {
        Self::from(&Schedule::default())
    }
}
