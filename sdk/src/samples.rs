//! Bundles made from samples, with estimates of the answer marginals, or from known marginals.

use std::collections::BTreeMap;

use crate::bundle::{Answer, Bundle, Group, Prompt};
use crate::estimate::{self, Estimator};
use crate::math;

/// The answer keys of one prompt's samples, from which [`Bundle::sampled`] makes a group.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// The question.
    pub prompt: &'a Prompt,
    /// One key for each of the K samples; `None` is ⊥.
    pub keys: &'a [Option<String>],
}

impl Bundle {
    /// Makes a bundle from samples, with the estimates of `estimator`. Scores are left empty.
    pub fn sampled(id: &str, groups: &[Samples<'_>], estimator: &dyn Estimator) -> Self {
        let groups = groups.iter().map(|samples| Group::counted(*samples)).collect();
        let mut bundle = Self { id: id.into(), verifiers: Vec::new(), multiplier: 0.0, exact: false, groups };
        estimate::fill(&mut bundle, estimator);
        bundle
    }

    /// Makes a bundle from known answer marginals, given as the probability of each answer for each prompt. Answers of
    /// probability 0 are left out. The reference probabilities are the same. Scores are left empty.
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
}

impl Group {
    fn counted(samples: Samples<'_>) -> Self {
        // Sorted by key: sums over answers must not depend on the order of the samples.
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
}
