//! Random games of six answers.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::games::{prompt, with};

const ANSWERS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// Every concave kind, and the consensus or divergence of the kinds that have one. A game can have two constraints.
const CONCAVE: [(&str, &str); 16] = [
    ("correctness", ""),
    ("entropy", ""),
    ("gini", ""),
    ("tsallis", ""),
    ("pass@k", ""),
    ("maximum-likelihood", ""),
    ("target", ""),
    ("coherence", "arithmetic"),
    ("coherence", "geometric"),
    ("coherence", "reference"),
    ("pairwise", "jsd"),
    ("pairwise", "squared-l2"),
    ("marginal", ""),
    ("parity", ""),
    ("constraint", ""),
    ("constraint", ""),
];

/// The style of probabilities, weights and tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Numbers {
    /// From tiny to large.
    Any,
    /// As people write them: tenths, ones and a few weights, with repetitions.
    Round,
}

/// A generator of random games.
pub(crate) struct Random {
    from: ChaCha8Rng,
    numbers: Numbers,
}

impl Random {
    pub(crate) fn new(seed: u64, numbers: Numbers) -> Self {
        Self { from: ChaCha8Rng::seed_from_u64(seed), numbers }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.from).unwrap()
    }

    /// Returns a distribution, from peaked to flat.
    fn distribution(&mut self, size: usize) -> Vec<f64> {
        if self.numbers == Numbers::Round {
            let mut tenths = vec![1; size];
            (size..10).for_each(|_| tenths[self.from.random_range(0..size)] += 1);
            return tenths.into_iter().map(|tenths| f64::from(tenths) / 10.0).collect();
        }
        let sharpness = self.pick(&[0.1, 1.0, 3.0, 10.0]);
        let weights: Vec<f64> =
            (0..size).map(|_| self.from.random_range(1e-9f64..1.0).powf(sharpness) + 1e-9).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }

    /// Returns a distribution over names.
    fn shares(&mut self, names: &[&str]) -> Value {
        let shares = self.distribution(names.len());
        names.iter().zip(shares).map(|(name, share)| ((*name).to_owned(), share.into())).collect::<Map<_, _>>().into()
    }

    /// Returns numbers for some of the answers: 1 with probability a half, otherwise from `least` to 1.
    fn table(&mut self, answers: &[&str], least: f64) -> Value {
        let count = self.from.random_range(1..=answers.len());
        let some: Vec<&str> = answers.sample(&mut self.from, count).copied().collect();
        let number = |random: &mut Self| match random.numbers == Numbers::Round || random.from.random() {
            true => 1.0,
            false => random.from.random_range(least..1.0),
        };
        some.into_iter().map(|answer| (answer.to_owned(), number(self).into())).collect::<Map<_, _>>().into()
    }

    fn objective(&mut self, kind: &str, variant: &str, ids: &[String]) -> Value {
        let attribute = json!({"A": "p", "B": "q", "C": "r", "D": "p", "E": "q", "F": "r"});
        let fields = match kind {
            "correctness" => json!({"reward": self.table(&ANSWERS, -1.0)}),
            "tsallis" => json!({"order": self.from.random_range(2..7)}),
            "pass@k" => json!({"k": self.from.random_range(1..9), "reward": self.table(&ANSWERS, -1.0)}),
            "maximum-likelihood" => json!({"reward": self.table(&ANSWERS, 0.0)}),
            "target" => json!({"target": self.shares(&ANSWERS)}),
            "coherence" => json!({"consensus": variant}),
            "pairwise" if self.from.random() => json!({"divergence": variant}),
            "pairwise" => {
                let pairs = ids.windows(2).map(|pair| json!([pair[0], pair[1], self.from.random_range(0.1..2.0)]));
                json!({"divergence": variant, "pairs": pairs.collect::<Vec<_>>()})
            }
            "marginal" => json!({"attribute": attribute, "target": self.shares(&["p", "q", "r"])}),
            "parity" => json!({"attribute": attribute}),
            "constraint" => return self.limit(),
            _ => json!({}),
        };
        let weight = match self.numbers {
            Numbers::Any => self.from.random_range(0.05f64.ln()..10f64.ln()).exp(),
            Numbers::Round => self.pick(&[0.3, 1.0, 3.0, 6.0, 10.0]),
        };
        with(&fields, json!({"kind": kind, "weight": weight}))
    }

    /// Returns a constraint under which A costs nothing, so that every limit can be kept.
    fn limit(&mut self) -> Value {
        json!({"kind": "constraint", "cost": self.table(&ANSWERS[1..], 0.0), "limit": self.pick(&[0.02, 0.1, 0.3])})
    }

    /// Returns a game of up to four prompts and three objectives, constraints among them.
    pub(crate) fn game(&mut self, name: usize) -> Value {
        self.mixed(name, &CONCAVE, 0)
    }

    /// Returns a game with `limits` constraints beside its other objectives.
    pub(crate) fn limited(&mut self, name: usize, limits: usize) -> Value {
        let free: Vec<(&str, &str)> = CONCAVE.into_iter().filter(|kind| kind.0 != "constraint").collect();
        self.mixed(name, &free, limits)
    }

    fn mixed(&mut self, name: usize, of: &[(&'static str, &'static str)], limits: usize) -> Value {
        let ids: Vec<String> = (0..self.from.random_range(1..=4)).map(|at| format!("x{at}")).collect();
        let count = self.from.random_range(1..=3);
        let mut kinds: Vec<(&str, &str)> = of.sample(&mut self.from, count).copied().collect();
        // A single prompt has no partner.
        kinds.iter_mut().filter(|kind| kind.0 == "pairwise" && ids.len() == 1).for_each(|kind| *kind = ("entropy", ""));
        let mut objectives: Vec<Value> =
            kinds.iter().map(|(kind, variant)| self.objective(kind, variant, &ids)).collect();
        objectives.extend((0..limits).map(|_| self.limit()));
        let limited = objectives.iter().any(|objective| objective["kind"] == "constraint");
        let free = if limited && self.numbers == Numbers::Any { 0.05 } else { 0.0 };
        let prompts: Vec<Value> = ids
            .iter()
            .map(|id| {
                let mut probabilities: Vec<f64> = self.distribution(6).iter().map(|p| (1.0 - free) * p).collect();
                probabilities[0] += free;
                prompt(id, &ANSWERS.into_iter().zip(probabilities).collect::<Vec<_>>())
            })
            .collect();
        let beta = self.pick(&[0.02, 0.05, 0.2, 1.0]);
        json!({"name": name.to_string(), "beta": beta, "prompts": prompts, "objectives": objectives})
    }
}
