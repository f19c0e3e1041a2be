//! The table `[train]`: the training of the policy.

use alft_policy::{AdamWConfig, GrpoConfig};
use serde::{Deserialize, Serialize};

use super::best::Best;
use super::schedule::PhaseSchedule;

/// The training of the policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Steps of the game.
    pub steps: u64,
    /// The learning rate over the steps.
    #[serde(default)]
    pub schedule: PhaseSchedule,
    /// The optimiser.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// The GRPO loss.
    #[serde(default)]
    pub loss: GrpoConfig,
    /// Tokens (prompts and completions) computed at once, which bounds the memory.
    #[serde(default = "token_budget")]
    pub token_budget: usize,
    /// Keeps only the input of each layer from the forward to the backward pass and computes the rest again: less memory,
    /// more time, the same bits.
    #[serde(default)]
    pub activation_checkpointing: bool,
    /// Steps between two saves of the state that `--resume` needs.
    #[serde(default = "one")]
    pub save_every: u64,
    /// Steps between two exports of a model folder; 0 exports at the end alone.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// The exported model folders that are kept, the newest ones; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<usize>,
    /// Exports the model whenever an evaluation while training is the best so far, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

fn token_budget() -> usize {
    8192
}

fn one() -> u64 {
    1
}
