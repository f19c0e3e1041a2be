//! What became of each sample, and the bundle that objectives see.

use std::collections::BTreeMap;

use alft_sdk::bundle::{Bundle, Prompt, Samples};
use alft_sdk::estimate::Estimator;

/// What became of one sample of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Its answer's key.
    Answer(String),
    /// ⊥: no answer can be read. It counts in the group.
    Unreadable,
    /// A plugin failed on it. It counts nowhere: a failure must not become a verdict.
    Dropped,
}

impl Reading {
    /// The answer's key, if there is one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Answer(key) => Some(key),
            Self::Unreadable | Self::Dropped => None,
        }
    }
}

/// The answers of one prompt's group and where they came from.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The question.
    pub prompt: &'a Prompt,
    /// One reading for each of the K samples.
    pub readings: &'a [Reading],
}

/// Counts the groups of a bundle into classes with estimates, dropped samples left out. Scores are left empty.
pub fn bundle(id: &str, groups: &[Group<'_>], estimator: &dyn Estimator) -> Bundle {
    let keys: Vec<Vec<Option<String>>> = groups
        .iter()
        .map(|group| {
            let kept = group.readings.iter().filter(|reading| **reading != Reading::Dropped);
            kept.map(|reading| reading.key().map(str::to_owned)).collect()
        })
        .collect();
    let samples: Vec<Samples<'_>> =
        groups.iter().zip(&keys).map(|(group, keys)| Samples { prompt: group.prompt, keys }).collect();
    Bundle::sampled(id, &samples, estimator)
}

/// Sets what the reference policy was seen to answer: the marginal of a prompt by its id, if it is known. Only prompts
/// that are in the bundle count in the average over it.
pub fn set_reference<'a>(bundle: &mut Bundle, marginal: impl Fn(&str) -> Option<&'a BTreeMap<String, f64>>) {
    let marginals: Vec<_> = bundle.groups.iter().map(|group| marginal(&group.prompt.id)).collect();
    let of = |marginal: &Option<&BTreeMap<String, f64>>, key: &str| {
        marginal.and_then(|marginal| marginal.get(key)).copied().unwrap_or(0.0)
    };
    let m = marginals.len() as f64;
    for (group, own) in bundle.groups.iter_mut().zip(&marginals) {
        for answer in &mut group.answers {
            answer.reference_probability = of(own, &answer.key);
            answer.pooled_reference_probability =
                marginals.iter().map(|marginal| of(marginal, &answer.key)).sum::<f64>() / m;
        }
    }
}
