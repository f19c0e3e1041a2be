//! The table `[warm_start]`: supervised training before the game.

use std::path::PathBuf;

use alft_policy::AdamWConfig;
use serde::{Deserialize, Serialize};

use super::schedule::PhaseSchedule;

/// Supervised training before the game.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmStart {
    /// JSON lines with `prompt` and `completion`.
    pub data: PathBuf,
    /// Supervised steps.
    pub steps: u64,
    /// Examples a step.
    pub batch: usize,
    /// The learning rate over the steps.
    #[serde(default)]
    pub schedule: PhaseSchedule,
    /// The optimiser.
    #[serde(default)]
    pub adamw: AdamWConfig,
}
