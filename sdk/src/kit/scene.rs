//! Exact games at random: everything about a bundle but its probabilities, which a test may move.

use std::collections::BTreeMap;

use super::Settings;
use super::inputs::Random;
use crate::bundle::{Bundle, Prompt};

/// For each prompt the probability of each answer; 0 for one that it cannot have.
pub(super) type Marginals = Vec<Vec<f64>>;

/// Prompts and answers, by number.
pub(super) struct Scene<'a> {
    settings: &'a Settings,
    /// For each prompt whether it can have each answer.
    support: Vec<Vec<bool>>,
    /// For each answer its scores.
    scores: Vec<Vec<f64>>,
    reference: Marginals,
    multiplier: f64,
}

impl<'a> Scene<'a> {
    pub(super) fn any(settings: &'a Settings, random: &mut Random) -> Self {
        let answers = settings.answers.len();
        let support: Vec<Vec<bool>> = (0..1 + random.below(4))
            .map(|prompt| {
                let mut given: Vec<bool> = (0..answers).map(|_| random.below(2) == 0).collect();
                // One answer that all prompts have, as a consensus needs, and one more to weigh it against.
                given[0] = true;
                given[1 + prompt % (answers - 1)] = true;
                given
            })
            .collect();
        let scores =
            (0..answers).map(|_| settings.verifiers.iter().map(|_| random.between(0.05, 1.0)).collect()).collect();
        let multiplier = random.between(0.0, 3.0);
        let reference = marginals(&support, random);
        Self { settings, support, scores, reference, multiplier }
    }

    pub(super) fn prompts(&self) -> usize {
        self.support.len()
    }

    /// A point of the game, away from probabilities of 0, where differences are poor.
    pub(super) fn marginals(&self, random: &mut Random) -> Marginals {
        marginals(&self.support, random)
    }

    /// The bundle at a point, its answers called as the settings call them.
    pub(super) fn bundle(&self, nu: &Marginals) -> Bundle {
        self.named(nu, &self.settings.answers)
    }

    /// The same with other names.
    pub(super) fn named(&self, nu: &Marginals, names: &[String]) -> Bundle {
        let mut bundle = self.exact(nu, names);
        let reference = self.exact(&self.reference, names);
        bundle.verifiers = self.settings.verifiers.clone();
        bundle.multiplier = self.multiplier;
        for (group, frozen) in bundle.groups.iter_mut().zip(reference.groups) {
            for (answer, frozen) in group.answers.iter_mut().zip(frozen.answers) {
                (answer.reference_probability, answer.pooled_reference_probability) =
                    (frozen.reference_probability, frozen.pooled_reference_probability);
                let at = names.iter().position(|name| *name == answer.key).expect("a name of ours");
                answer.scores = self.scores[at].clone();
            }
        }
        bundle
    }

    fn exact(&self, nu: &Marginals, names: &[String]) -> Bundle {
        let prompts: Vec<Prompt> = (0..nu.len()).map(|at| self.settings.prompt(&format!("p{at}"))).collect();
        let keyed = |marginal: &Vec<f64>| names.iter().map(String::as_str).zip(marginal.iter().copied()).collect();
        let marginals: Vec<BTreeMap<&str, f64>> = nu.iter().map(keyed).collect();
        Bundle::exact("bundle", &prompts.iter().zip(&marginals).collect::<Vec<_>>())
    }
}

fn marginals(support: &[Vec<bool>], random: &mut Random) -> Marginals {
    let mut marginal = |given: &Vec<bool>| {
        let weights: Vec<f64> = given.iter().map(|given| if *given { random.between(0.1, 1.0) } else { 0.0 }).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    };
    support.iter().map(&mut marginal).collect()
}
