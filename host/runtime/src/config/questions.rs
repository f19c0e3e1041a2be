//! The choice of questions in the run file.

use serde::{Deserialize, Serialize};

/// The order of the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuestionOrder {
    /// Pass after pass over all questions, each in another order.
    #[default]
    Shuffled,
    /// The same, but a question that was always or never right lately is passed over more often.
    Adaptive,
}

/// Further draws of a step, in place of questions whose groups have no spread in reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicSampling {
    /// The largest number of further rounds. Each draws as many questions as do not teach yet.
    pub max_rounds: usize,
}
