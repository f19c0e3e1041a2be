//! What an objective sees (prompts, their groups of answers, estimates of the answer marginals) and what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::estimate::{self, Estimator};
use crate::math;

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its name in the prompts file.
    pub id: String,
    /// The question itself, without the chat template around it.
    pub text: String,
    /// The known right answer, if there is one.
    pub gold: Option<String>,
    /// A JSON object, `{}` at least: whatever else the prompts file said of this question.
    pub metadata: String,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { id: String::new(), text: String::new(), gold: None, metadata: "{}".into() }
    }
}

/// One class of equal answers within a group, with estimates of its probability ν.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Equal keys are equal answers.
    pub key: String,
    /// How many completions of the group gave it, 1 or more; 0 where probabilities are exact.
    pub count: u32,
    /// One score for each of the bundle's verifiers, unweighted.
    pub scores: Vec<f64>,
    /// n/K, or the exact ν.
    pub frequency: f64,
    /// (n − 1)/(K − 1): unbiased for a sample that gave this answer. Or the exact ν.
    pub leave_one_out: f64,
    /// Estimate of −log ν by the run's estimator, in nats.
    pub surprisal: f64,
    /// Estimate of −log ν̄, ν̄ the probability averaged over the bundle's prompts, in nats.
    pub pooled_surprisal: f64,
    /// Estimate of its probability under the reference policy, for plugins whose manifest asks for it; 0 for an answer
    /// that the reference was not seen to give.
    pub reference_probability: f64,
    /// The same averaged over the bundle's prompts.
    pub pooled_reference_probability: f64,
}

/// The answers to one prompt. Completions without a readable answer (⊥) count in `size` but are not among the
/// answers, so nothing can reward them for being different.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The question.
    pub prompt: Prompt,
    /// K: the completions sampled, 1 or more; 0 where probabilities are exact.
    pub size: u32,
    /// Distinct answers, sorted by the UTF-8 bytes of their keys.
    pub answers: Vec<Answer>,
}

/// Prompts that ask the same thing (paraphrases); one prompt when there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Its name in the prompts file.
    pub id: String,
    /// The names of the run's verifiers, in the order of [`Answer::scores`].
    pub verifiers: Vec<String>,
    /// The price μ ≥ 0 that the host has reached for this objective's [`Valuation::violation`].
    pub multiplier: f64,
    /// The probabilities are exact rather than estimated from samples.
    pub exact: bool,
    /// One for each prompt: m of them.
    pub groups: Vec<Group>,
}

/// What a bundle's distribution of answers is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Valuation {
    /// U of the bundle's answer marginals.
    pub utility: f64,
    /// m·∂U/∂ν for each answer of each group. A constant added to all answers of a group changes nothing between them,
    /// but 0 should mean worthless: a completion without an answer is given the lesser of 0 and its group's lowest
    /// reward.
    pub rewards: Vec<Vec<f64>>,
    /// For a constraint: cost − limit. The host raises the multiplier while it is positive.
    pub violation: Option<f64>,
}

/// The verdicts on one group from which [`Bundle::sampled`] makes what an objective sees: each sample's answer key.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// The question.
    pub prompt: &'a Prompt,
    /// One key for each of the K samples; `None` is ⊥.
    pub keys: &'a [Option<String>],
}

impl Bundle {
    /// Counts `groups` of samples into a bundle with the estimates of `estimator`; scores are left empty.
    pub fn sampled(id: &str, groups: &[Samples<'_>], estimator: &dyn Estimator) -> Self {
        let groups = groups.iter().map(|samples| Group::counted(*samples)).collect();
        let mut bundle = Self { id: id.into(), verifiers: Vec::new(), multiplier: 0.0, exact: false, groups };
        estimate::fill(&mut bundle, estimator);
        bundle
    }

    /// A bundle whose answer marginals are known: for each prompt its answers' probabilities, those of 0 left out.
    /// They are also the reference's. Scores are left empty.
    pub fn exact(id: &str, groups: &[(&Prompt, &BTreeMap<&str, f64>)]) -> Self {
        let mut pooled = BTreeMap::<&str, f64>::new();
        for (key, p) in groups.iter().flat_map(|(_, marginal)| marginal.iter()) {
            *pooled.entry(key).or_default() += p / groups.len() as f64;
        }
        let answer = |(key, p): (&&str, &f64)| Answer {
            key: (*key).to_owned(),
            count: 0,
            scores: Vec::new(),
            frequency: *p,
            leave_one_out: *p,
            surprisal: -math::ln(*p),
            pooled_surprisal: -math::ln(pooled[key]),
            reference_probability: *p,
            pooled_reference_probability: pooled[key],
        };
        let group = |(prompt, marginal): &(&Prompt, &BTreeMap<&str, f64>)| Group {
            prompt: (*prompt).clone(),
            size: 0,
            answers: marginal.iter().filter(|(_, p)| **p > 0.0).map(answer).collect(),
        };
        let groups = groups.iter().map(group).collect();
        Self { id: id.into(), verifiers: Vec::new(), multiplier: 0.0, exact: true, groups }
    }

    /// (1/m) Σ over the groups.
    pub fn mean(&self, value: impl Fn(&Group) -> f64) -> f64 {
        self.groups.iter().map(value).sum::<f64>() / self.groups.len() as f64
    }

    /// A reward for each answer of each group, in the shape of [`Valuation::rewards`].
    pub fn rewards(&self, reward: impl Fn(&Group, &Answer) -> f64) -> Vec<Vec<f64>> {
        self.groups.iter().map(|group| group.answers.iter().map(|answer| reward(group, answer)).collect()).collect()
    }

    /// The position of a verifier's score in [`Answer::scores`].
    ///
    /// # Errors
    /// Names the verifiers that the run has when `name` is not among them.
    pub fn verifier(&self, name: &str) -> crate::Result<usize> {
        self.verifiers.iter().position(|verifier| verifier == name).ok_or_else(|| {
            let known = if self.verifiers.is_empty() { "none".into() } else { self.verifiers.join(", ") };
            crate::Error::new(format!("no verifier named \"{name}\" in this run (there is: {known})"))
        })
    }
}

impl Group {
    fn counted(samples: Samples<'_>) -> Self {
        // Sorted by key: sums over answers must not depend on the order in which samples came.
        let mut counts = BTreeMap::<&str, u32>::new();
        for key in samples.keys.iter().flatten() {
            *counts.entry(key).or_default() += 1;
        }
        let answers = counts.into_iter().map(|(key, count)| Answer {
            key: key.into(),
            count,
            scores: Vec::new(),
            frequency: 0.0,
            leave_one_out: 0.0,
            surprisal: 0.0,
            pooled_surprisal: 0.0,
            reference_probability: 0.0,
            pooled_reference_probability: 0.0,
        });
        Self { prompt: samples.prompt.clone(), size: samples.keys.len() as u32, answers: answers.collect() }
    }

    /// The answer with this key, if it was given.
    pub fn answer(&self, key: &str) -> Option<&Answer> {
        self.answers.binary_search_by(|answer| answer.key.as_str().cmp(key)).ok().map(|at| &self.answers[at])
    }

    /// Estimate of ν(key), 0 for an answer that was not given.
    pub fn frequency(&self, key: &str) -> f64 {
        self.answer(key).map_or(0.0, |answer| answer.frequency)
    }
}
