//! The table `[eval]`: the evaluation.

use serde::{Deserialize, Serialize};

/// The evaluation before and after training, and every so many steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eval {
    /// Questions taken from the file; all if it has fewer.
    pub bundles: usize,
    /// Completions sampled for each phrasing.
    pub group: usize,
    /// Steps of the game between two evaluations while training; 0 makes none.
    pub every: u64,
}

impl Default for Eval {
    fn default() -> Self {
        Self { bundles: 100, group: 8, every: 0 }
    }
}
