//! Ordinary inputs, and the generator of random numbers behind them.

use alft_sdk::bundle::{Bundle, Prompt};
use alft_sdk::call::{PromptTexts, Takes};
use alft_sdk::estimate::{Estimator, Harmonic, PlugIn};
use alft_sdk::roles::Role;
use alft_sdk::samples::Samples;

use crate::settings::Settings;

/// SplitMix64 (Steele, Lea, Flood, 2014): short, and the same numbers on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Makes the stream of numbers of a seed and a purpose.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut random = Self(seed);
        for byte in purpose.bytes() {
            random.0 = random.next() ^ u64::from(byte);
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to `n` − 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Returns a number of at least `low` and less than `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns the numbers from 0 to `n` − 1 in random order.
    pub(crate) fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for at in (1..n).rev() {
            order.swap(at, self.below(at + 1));
        }
        order
    }
}

/// Returns texts for a role: completions for a reader or a grader, answers for a verifier.
pub(crate) fn texts(settings: &Settings, role: Role, random: &mut Random) -> Vec<String> {
    if role.takes() == Takes::Answers { answers(settings, random) } else { completions(settings, random) }
}

/// Returns answers to the settings' question, the right one among them.
pub(crate) fn answers(settings: &Settings, random: &mut Random) -> Vec<String> {
    let given = [&settings.question.gold, &settings.question.wrong].map(Clone::clone);
    given.into_iter().chain((0..6).map(|_| random.below(1000).to_string())).collect()
}

/// Returns completions of the settings' question, with an answer and without.
pub(crate) fn completions(settings: &Settings, random: &mut Random) -> Vec<String> {
    let mut completions: Vec<String> =
        answers(settings, random).iter().map(|answer| settings.completed(answer)).collect();
    completions.push(words(40, random));
    completions.push(format!("{} {}", words(10, random), settings.completed(&random.below(100).to_string())));
    completions
}

/// Returns `n` words, some of them numbers.
pub(crate) fn words(n: usize, random: &mut Random) -> String {
    const WORDS: [&str; 8] = ["so", "then", "the", "sum", "is", "carry", "the", "one"];
    let word = |_| match random.below(10) {
        digit @ 8.. => (digit * 7 + random.below(90)).to_string(),
        word => WORDS[word].to_owned(),
    };
    (0..n).map(word).collect::<Vec<_>>().join(" ")
}

/// Distributes the texts over three phrasings of the question.
pub(crate) fn phrasings(settings: &Settings, texts: &[String]) -> Vec<PromptTexts> {
    let parts = texts.chunks(texts.len().div_ceil(3).max(1)).enumerate();
    parts.map(|(at, texts)| PromptTexts { prompt: settings.prompt(&format!("p{at}")), texts: texts.to_vec() }).collect()
}

/// Completions of an ordinary group.
pub(crate) const GROUP_SIZE: usize = 16;

/// Returns a bundle of samples: one to four prompts with `size` completions, some without an answer.
pub(crate) fn sampled(settings: &Settings, size: usize, random: &mut Random) -> Bundle {
    let prompts = 1 + random.below(4);
    let keys: Vec<Vec<Option<String>>> = (0..prompts)
        .map(|_| {
            let mut key = || settings.answers.get(random.below(settings.answers.len() + 1)).cloned();
            (0..size).map(|_| key()).collect()
        })
        .collect();
    counted(settings, &keys, random)
}

/// Returns the bundle of these samples, with random scores and reference probabilities for each answer.
pub(crate) fn counted(settings: &Settings, keys: &[Vec<Option<String>>], random: &mut Random) -> Bundle {
    let prompts: Vec<Prompt> = (0..keys.len()).map(|at| settings.prompt(&format!("p{at}"))).collect();
    let samples: Vec<Samples<'_>> = prompts.iter().zip(keys).map(|(prompt, keys)| Samples { prompt, keys }).collect();
    let estimator: &dyn Estimator = if random.below(2) == 0 { &PlugIn } else { &Harmonic };
    let mut bundle = Bundle::sampled("bundle", &samples, estimator);
    bundle.verifiers = settings.verifiers.clone();
    bundle.multiplier = random.between(0.0, 3.0);
    let seed = random.next();
    for answer in bundle.groups.iter_mut().flat_map(|group| &mut group.answers) {
        // Equal answers have equal scores in every group.
        let mut random = Random::new(seed, &answer.key);
        answer.scores = settings.verifiers.iter().map(|_| random.between(0.05, 1.0)).collect();
        (answer.reference_probability, answer.pooled_reference_probability) =
            (random.between(0.0, 0.2), random.between(0.0, 0.2));
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_inputs() {
        let settings = Settings::default();
        let drawn = |seed| {
            let mut random = Random::new(seed, "x");
            (completions(&settings, &mut random), sampled(&settings, GROUP_SIZE, &mut random))
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1).1, drawn(2).1);
        let bundle = drawn(1).1;
        assert!(bundle.groups.iter().all(|group| group.size == 16 && group.answers.is_sorted_by_key(|a| &a.key)));
    }

    #[test]
    fn orders_are_permutations() {
        let mut order = Random::new(0, "").order(50);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
