//! The choice of the best model in the run file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number by which evaluations while training are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The metric of an evaluation.
    pub metric: EvalMetric,
    /// The better end of the metric; by default that of its nature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// A metric of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvalMetric {
    /// The mean score of the first verifier.
    Accuracy,
    /// The mean weighted sum of rewards.
    Reward,
    /// The mean entropy of a group's answers.
    Entropy,
    /// The mean divergence between a question's phrasings.
    Jsd,
    /// The share of samples without a readable answer.
    Unreadable,
}

/// The better end of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// More is better.
    Max,
    /// Less is better.
    Min,
}

impl Best {
    /// Returns true if `value` is better than `other`.
    pub fn prefers(self, value: f64, other: f64) -> bool {
        let by_nature = match self.metric {
            EvalMetric::Accuracy | EvalMetric::Reward | EvalMetric::Entropy => Mode::Max,
            EvalMetric::Jsd | EvalMetric::Unreadable => Mode::Min,
        };
        match self.mode.unwrap_or(by_nature) {
            Mode::Max => value > other,
            Mode::Min => value < other,
        }
    }
}

impl fmt::Display for EvalMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accuracy => "accuracy",
            Self::Reward => "reward",
            Self::Entropy => "entropy",
            Self::Jsd => "jsd",
            Self::Unreadable => "unreadable",
        })
    }
}
