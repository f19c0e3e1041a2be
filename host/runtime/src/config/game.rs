//! The table `[game]`: the game of each step.

use alft_game::AdvantageConfig;
use alft_game::estimator::SurprisalEstimator;
use serde::{Deserialize, Serialize};

use super::questions::{DynamicSampling, QuestionOrder};

/// The game of each step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Game {
    /// K: completions sampled for each phrasing.
    pub group: usize,
    /// Questions (bundles of phrasings) a step.
    pub bundles_per_step: usize,
    /// The estimator of −log ν.
    pub estimator: SurprisalEstimator,
    /// Samples of the reference policy for each phrasing, where an objective compares with it.
    pub reference_samples: usize,
    /// From rewards to advantages.
    pub advantage: AdvantageConfig,
    /// The order of the questions.
    pub questions: QuestionOrder,
    /// Further draws in place of questions that teach nothing; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_sampling: Option<DynamicSampling>,
}

impl Default for Game {
    fn default() -> Self {
        Self {
            group: 8,
            bundles_per_step: 4,
            estimator: SurprisalEstimator::default(),
            reference_samples: 64,
            advantage: AdvantageConfig::default(),
            questions: QuestionOrder::default(),
            dynamic_sampling: None,
        }
    }
}
