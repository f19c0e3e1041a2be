//! The data of an objective: prompts, their groups of answers with estimates of the answer marginals, and valuations.

use serde::{Deserialize, Serialize};

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Id of the phrasing in the questions file.
    pub id: String,
    /// The question, without the chat template around it.
    pub text: String,
    /// The known right answer, if there is one.
    pub gold: Option<String>,
    /// A JSON object with the other keys of the question's line; `{}` if there are none.
    pub metadata: String,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { id: String::new(), text: String::new(), gold: None, metadata: "{}".into() }
    }
}

/// A class of equal answers within a group, with estimates of its probability ν.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Canonical form of the answer: equal keys are equal answers.
    pub key: String,
    /// n: completions of the group that gave this answer, at least 1; 0 if probabilities are exact.
    pub count: u32,
    /// One score for each of the bundle's verifiers, unweighted.
    pub scores: Vec<f64>,
    /// Estimate n/K of ν, or the exact ν.
    pub frequency: f64,
    /// Leave-one-out estimate (n − 1)/(K − 1) of ν, unbiased for a sample that gave this answer. Or the exact ν.
    pub leave_one_out: f64,
    /// Estimate of −log ν by the run's estimator, in nats.
    pub surprisal: f64,
    /// Estimate of −log ν̄ in nats, where ν̄ is the mean of ν over the bundle's prompts.
    pub pooled_surprisal: f64,
    /// Estimate of the answer's probability under the reference policy, for plugins whose manifest asks for it; 0 for an
    /// answer that no sample of the reference policy gave.
    pub reference_probability: f64,
    /// Mean of `reference_probability` over the bundle's prompts.
    pub pooled_reference_probability: f64,
}

/// The answers to one prompt. Completions without a readable answer (⊥) count in `size` and are not among the answers:
/// an objective cannot reward them for being different.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The question.
    pub prompt: Prompt,
    /// K: sampled completions, at least 1; 0 if probabilities are exact.
    pub size: u32,
    /// Distinct answers, sorted by the UTF-8 bytes of their keys.
    pub answers: Vec<Answer>,
}

/// Prompts that ask the same question in different words; a single prompt if the question has one phrasing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Id of the question in the questions file.
    pub id: String,
    /// Names of the run's verifiers, in the order of [`Answer::scores`].
    pub verifiers: Vec<String>,
    /// Current price μ ≥ 0 of this objective's [`Valuation::violation`], set by the host.
    pub multiplier: f64,
    /// True if the probabilities are exact rather than estimated from samples.
    pub exact: bool,
    /// One group for each of the m prompts.
    pub groups: Vec<Group>,
}

/// The value of a bundle's distribution of answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Valuation {
    /// U of the bundle's answer marginals.
    pub utility: f64,
    /// m·∂U/∂ν for each answer of each group. Adding a constant to all answers of a group changes no difference between
    /// them, but 0 should mean worthless: a completion without an answer gets the lesser of 0 and the lowest reward of
    /// its group.
    pub rewards: Vec<Vec<f64>>,
    /// Constraint: cost − limit. The host raises the multiplier while it is positive and lowers it while it is negative.
    pub violation: Option<f64>,
}

impl Bundle {
    /// Returns the mean of `value` over the groups.
    pub fn mean(&self, value: impl Fn(&Group) -> f64) -> f64 {
        self.groups.iter().map(value).sum::<f64>() / self.groups.len() as f64
    }

    /// Returns `reward` for each answer of each group, in the shape of [`Valuation::rewards`].
    pub fn rewards(&self, reward: impl Fn(&Group, &Answer) -> f64) -> Vec<Vec<f64>> {
        self.groups.iter().map(|group| group.answers.iter().map(|answer| reward(group, answer)).collect()).collect()
    }

    /// Returns the index of a verifier's score in [`Answer::scores`].
    ///
    /// # Errors
    /// The run has no verifier of this name; the error lists the names that it has.
    pub fn verifier(&self, name: &str) -> crate::Result<usize> {
        self.verifiers.iter().position(|verifier| verifier == name).ok_or_else(|| {
            let known = if self.verifiers.is_empty() { "none".into() } else { self.verifiers.join(", ") };
            crate::Error::new(format!("the run has no verifier \"{name}\"; its verifiers are: {known}"))
        })
    }
}

impl Group {
    /// Returns the answer with this key, if a completion gave it.
    pub fn answer(&self, key: &str) -> Option<&Answer> {
        self.answers.binary_search_by(|answer| answer.key.as_str().cmp(key)).ok().map(|at| &self.answers[at])
    }

    /// Returns the estimate of ν(key); 0 for an answer that no completion gave.
    pub fn frequency(&self, key: &str) -> f64 {
        self.answer(key).map_or(0.0, |answer| answer.frequency)
    }
}
