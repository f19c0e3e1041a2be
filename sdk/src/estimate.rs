//! Estimates of the answer marginal ν from counts.
//!
//! K completions are sampled for a prompt, and n of them gave the answer z. A sample's reward needs −log ν(z), which is
//! estimated by a table over the counts (Mohri, Schneider, Zhong, arXiv 2605.02435).

use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::math;

/// An estimator of −log ν from counts.
pub trait Estimator {
    /// Returns the estimate of −log ν in nats from `count` of `size` samples, where 1 ≤ `count` ≤ `size`.
    fn surprisal(&self, count: u32, size: u32) -> f64;
}

/// −log(n/K), common in GRPO code. Its bias is Θ(1/K).
#[derive(Debug, Clone, Copy)]
pub struct PlugIn;

impl Estimator for PlugIn {
    fn surprisal(&self, count: u32, size: u32) -> f64 {
        -math::ln(f64::from(count) / f64::from(size))
    }
}

/// ψ(K) − ψ(n) = Σ_{j=n}^{K−1} 1/j. It has half the bias and no parameter.
#[derive(Debug, Clone, Copy)]
pub struct Harmonic;

impl Estimator for Harmonic {
    fn surprisal(&self, count: u32, size: u32) -> f64 {
        (count..size).map(|j| 1.0 / f64::from(j)).sum()
    }
}

/// Fills in every estimate of a bundle from its counts.
pub fn fill(bundle: &mut Bundle, estimator: &dyn Estimator) {
    let pooled = pooled(bundle, estimator);
    for group in &mut bundle.groups {
        for answer in &mut group.answers {
            answer.frequency = f64::from(answer.count) / f64::from(group.size);
            answer.leave_one_out = leave_one_out(answer.count, group.size);
            answer.surprisal = estimator.surprisal(answer.count, group.size);
            answer.pooled_surprisal = pooled[&answer.key];
        }
    }
}

/// Returns the estimate of −log ν̄ for each answer. Groups of equal size pool to one sample of ν̄, whose counts go to the
/// estimator. Groups of different sizes, after samples were dropped, do not: there ν̄ is the mean of the frequencies.
fn pooled(bundle: &Bundle, estimator: &dyn Estimator) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::<&str, u32>::new();
    let mut means = BTreeMap::<&str, f64>::new();
    for group in &bundle.groups {
        for answer in &group.answers {
            *counts.entry(&answer.key).or_default() += answer.count;
            *means.entry(&answer.key).or_default() +=
                f64::from(answer.count) / f64::from(group.size) / bundle.groups.len() as f64;
        }
    }
    let total = bundle.groups.iter().map(|group| group.size).sum();
    if bundle.groups.windows(2).all(|pair| pair[0].size == pair[1].size) {
        counts.into_iter().map(|(key, count)| (key.to_owned(), estimator.surprisal(count, total))).collect()
    } else {
        means.into_iter().map(|(key, p)| (key.to_owned(), -math::ln(p))).collect()
    }
}

/// The count of a set of answers, for estimates of powers of its probability p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Completions whose answer is in the set.
    pub count: u32,
    /// K; 0 if probabilities are exact.
    pub size: u32,
    /// Estimate count/K of p, or the exact p.
    pub frequency: f64,
}

impl Share {
    /// Adds a disjoint set of the same group.
    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.frequency = match self.size {
            0 => self.frequency + other.frequency,
            // One division of counts rounds less than a sum of frequencies.
            size => f64::from(self.count) / f64::from(size),
        };
    }

    /// Returns the complement of the set, completions without an answer included.
    pub fn complement(self) -> Self {
        let frequency = match self.size {
            0 => 1.0 - self.frequency,
            size => f64::from(size - self.count) / f64::from(size),
        };
        Self { count: self.size - self.count, size: self.size, frequency }
    }

    /// Returns the unbiased estimate of p^j, the U-statistic (n)_j/(K)_j of falling factorials. `None` if K < j.
    pub fn power(self, j: u32) -> Option<f64> {
        match self.size {
            0 => Some(math::pow(self.frequency, f64::from(j))),
            size => falling_ratio(self.count, size, j),
        }
    }

    /// Returns the estimate of p^j from the other K − 1 completions, for a completion that is in the set (`inside`) or
    /// not: unbiased for that completion's reward. `None` if K − 1 < j.
    pub fn power_among_others(self, inside: bool, j: u32) -> Option<f64> {
        match self.size {
            0 => Some(math::pow(self.frequency, f64::from(j))),
            size => falling_ratio(self.count.saturating_sub(inside.into()), size - 1, j),
        }
    }
}

/// Returns (n)_j/(m)_j; `None` if m < j.
fn falling_ratio(n: u32, m: u32, j: u32) -> Option<f64> {
    (j <= m).then(|| (0..j).map(|i| f64::from(n.saturating_sub(i)) / f64::from(m - i)).product())
}

/// Returns (n − 1)/(K − 1), the share of the other samples that gave the answer: an unbiased estimate of ν for a sample
/// that gave it. Returns 0 for a group of one.
pub fn leave_one_out(count: u32, size: u32) -> f64 {
    if size <= 1 { 0.0 } else { f64::from(count - 1) / f64::from(size - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Prompt;
    use crate::samples::Samples;

    fn keys(keys: &[&str]) -> Vec<Option<String>> {
        keys.iter().map(|key| (!key.is_empty()).then(|| (*key).to_owned())).collect()
    }

    #[test]
    fn unreadable_completions_count_in_the_size_only() {
        let prompt = Prompt::default();
        let (first, second) = (keys(&["7", "7", "3", ""]), keys(&["7", "3", "3", "3"]));
        let groups = [Samples { prompt: &prompt, keys: &first }, Samples { prompt: &prompt, keys: &second }];
        let bundle = Bundle::sampled("b", &groups, &PlugIn);
        let seven = bundle.groups[0].answer("7").unwrap();
        assert_eq!((seven.count, seven.frequency, seven.leave_one_out), (2, 0.5, 1.0 / 3.0));
        assert!((seven.surprisal - 2f64.ln()).abs() < 1e-15);
        assert!((seven.pooled_surprisal - (8.0f64 / 3.0).ln()).abs() < 1e-15);
        assert_eq!(bundle.groups[0].answers.iter().map(|a| a.frequency).sum::<f64>(), 0.75);
        assert_eq!(bundle.groups[0].frequency("9"), 0.0);
    }

    #[test]
    fn the_pooled_surprisal_of_groups_of_different_sizes_is_that_of_their_mean() {
        let prompt = Prompt::default();
        let (first, second) = (keys(&["x"; 8]), keys(&["y"; 2]));
        let groups = [Samples { prompt: &prompt, keys: &first }, Samples { prompt: &prompt, keys: &second }];
        let bundle = Bundle::sampled("b", &groups, &PlugIn);
        for group in &bundle.groups {
            assert!((group.answers[0].pooled_surprisal - 2f64.ln()).abs() < 1e-15);
        }
    }

    /// Compares the table's expectation over n − 1 ~ Binomial(K − 1, p) with −log p. The expected values come from an
    /// independent program on a dense grid of p.
    #[test]
    fn harmonic_has_about_half_the_bias_of_plug_in() {
        let worst = |estimator: &dyn Estimator, k: u32| {
            (1..2000)
                .map(|i| f64::from(i) / 2000.0)
                .map(|p| p * (expectation(estimator, k, p) + p.ln()).abs())
                .fold(0.0, f64::max)
        };
        for (k, plug_in, harmonic) in [(2, 0.217, 0.162), (4, 0.122, 0.076), (8, 0.066, 0.037), (16, 0.034, 0.018)] {
            assert!((worst(&PlugIn, k) - plug_in).abs() < 1e-3, "plug-in at {k}");
            assert!((worst(&Harmonic, k) - harmonic).abs() < 1e-3, "harmonic at {k}");
        }
    }

    fn expectation(estimator: &dyn Estimator, k: u32, p: f64) -> f64 {
        let m = k - 1;
        let mut binomial = 1.0;
        let mut sum = 0.0;
        for n in 0..=m {
            sum += estimator.surprisal(n + 1, k) * binomial * p.powi(n as i32) * (1.0 - p).powi((m - n) as i32);
            binomial *= f64::from(m - n) / f64::from(n + 1);
        }
        sum
    }
}
