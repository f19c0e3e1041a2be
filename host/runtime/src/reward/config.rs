//! The settings of a step's rewards.

use alft_game::{AdvantageConfig, TargetConfig};
use alft_policy::{GrpoConfig, KlPenalty};
use alft_sdk::estimate::Estimator;

use crate::config::{Game, RunFile};

/// The settings of a step's rewards.
#[derive(Clone, Copy)]
pub struct RewardConfig<'a> {
    /// Steps of the run that are done: scheduled weights depend on them.
    pub step: u64,
    /// The estimator of −log ν.
    pub estimator: &'a dyn Estimator,
    /// The dynamics of the target player.
    pub target: TargetConfig,
    /// From rewards to advantages.
    pub advantage: AdvantageConfig,
    /// β, where the KL penalty is taken off the reward: each sample pays β times its `log_ratio`.
    pub kl_penalty: Option<f64>,
}

impl<'a> RewardConfig<'a> {
    /// The settings of the step that comes after `done` steps of a run.
    pub fn new(run: &'a RunFile, done: u64) -> Self {
        let Game { estimator, advantage, .. } = &run.game;
        let GrpoConfig { kl, beta, .. } = run.train.loss;
        let kl_penalty = (kl == KlPenalty::Reward).then_some(beta);
        Self { step: done, estimator, target: run.target, advantage: *advantage, kl_penalty }
    }
}
