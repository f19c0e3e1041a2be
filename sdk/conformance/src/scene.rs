//! Random exact games. A scene is everything of a bundle but its probabilities, which a test varies.

use std::collections::BTreeMap;

use alft_sdk::bundle::{Bundle, Prompt};

use crate::inputs::Random;
use crate::settings::Settings;

/// The probability of each answer, for each prompt; 0 for an answer outside the prompt's support.
pub(crate) type Marginals = Vec<Vec<f64>>;

/// A game whose prompts and answers are numbered.
pub(crate) struct Scene<'a> {
    settings: &'a Settings,
    /// For each prompt, the answers that may have a probability above 0.
    support: Vec<Vec<bool>>,
    /// Scores of each answer.
    scores: Vec<Vec<f64>>,
    reference: Marginals,
    multiplier: f64,
}

impl<'a> Scene<'a> {
    /// Makes a random scene.
    pub(crate) fn random(settings: &'a Settings, random: &mut Random) -> Self {
        let answers = settings.answers.len();
        let support: Vec<Vec<bool>> = (0..1 + random.below(4))
            .map(|prompt| {
                let mut given: Vec<bool> = (0..answers).map(|_| random.below(2) == 0).collect();
                // An answer that all prompts share, which a consensus needs, and at least one other.
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

    /// Returns the number of prompts.
    pub(crate) fn prompts(&self) -> usize {
        self.support.len()
    }

    /// Returns a random point of the game, away from probabilities of 0, where finite differences are inaccurate.
    pub(crate) fn marginals(&self, random: &mut Random) -> Marginals {
        marginals(&self.support, random)
    }

    /// Returns the bundle at a point, with the settings' answer keys.
    pub(crate) fn bundle(&self, nu: &Marginals) -> Bundle {
        self.named(nu, &self.settings.answers)
    }

    /// Returns the bundle at a point, with these answer keys.
    pub(crate) fn named(&self, nu: &Marginals, names: &[String]) -> Bundle {
        let mut bundle = self.exact(nu, names);
        let reference = self.exact(&self.reference, names);
        bundle.verifiers = self.settings.verifiers.clone();
        bundle.multiplier = self.multiplier;
        for (group, frozen) in bundle.groups.iter_mut().zip(reference.groups) {
            for (answer, frozen) in group.answers.iter_mut().zip(frozen.answers) {
                (answer.reference_probability, answer.pooled_reference_probability) =
                    (frozen.reference_probability, frozen.pooled_reference_probability);
                let at = names.iter().position(|name| *name == answer.key).expect("a key of the scene");
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
