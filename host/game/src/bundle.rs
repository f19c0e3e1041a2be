//! The bundle that objectives see, from the answers of a step's samples.

use std::collections::BTreeMap;

use alft_sdk::bundle::{Bundle, Prompt};
use alft_sdk::estimate::Estimator;
use alft_sdk::samples::Samples;

use crate::answer::Answer;

/// The answers of one prompt's group of samples.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The prompt of the samples.
    pub prompt: &'a Prompt,
    /// The answer of each of the K samples.
    pub answers: &'a [Answer],
}

/// Counts equal answers of each group and estimates their probabilities. Dropped samples are left out, and scores are
/// left empty.
pub fn build(id: &str, groups: &[Group<'_>], estimator: &dyn Estimator) -> Bundle {
    let keys: Vec<Vec<Option<String>>> = groups
        .iter()
        .map(|group| {
            let kept = group.answers.iter().filter(|answer| **answer != Answer::Dropped);
            kept.map(|answer| answer.key().map(str::to_owned)).collect()
        })
        .collect();
    let samples: Vec<Samples<'_>> =
        groups.iter().zip(&keys).map(|(group, keys)| Samples { prompt: group.prompt, keys }).collect();
    Bundle::sampled(id, &samples, estimator)
}

/// Sets the reference policy's probability of each answer. `marginal` returns the reference policy's answer marginal for
/// the id of a prompt, if it is known. The pooled probability is the mean over the prompts in the bundle.
pub fn set_reference<'a>(bundle: &mut Bundle, marginal: impl Fn(&str) -> Option<&'a BTreeMap<String, f64>>) {
    let marginals: Vec<_> = bundle.groups.iter().map(|group| marginal(&group.prompt.id)).collect();
    let probability = |marginal: &Option<&BTreeMap<String, f64>>, key: &str| {
        marginal.and_then(|marginal| marginal.get(key)).copied().unwrap_or(0.0)
    };
    let m = marginals.len() as f64;
    for (group, own) in bundle.groups.iter_mut().zip(&marginals) {
        for answer in &mut group.answers {
            answer.reference_probability = probability(own, &answer.key);
            answer.pooled_reference_probability =
                marginals.iter().map(|marginal| probability(marginal, &answer.key)).sum::<f64>() / m;
        }
    }
}
