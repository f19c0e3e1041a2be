//! The best of k draws. With r(z) the value of an answer, U(ν) = w/m Σ_i E[max of r over k draws from ν_i]. Over the
//! ascending distinct levels t of r, where step(t) is the difference to the level before,
//!
//! - E max = Σ_t step(t) (1 − P(r < t)^k), which is 1 − (1 − p)^k if r is 0 or 1;
//! - an answer earns w Σ_{t ≤ r(z)} step(t) k P(r < t)^{k−1}: k times the expected gain of one more draw of it.
//!
//! From samples both are unbiased: powers become U-statistics, and those of the reward are over the other samples. The
//! reward is then K times the leave-one-out weight of Walder & Karkhanis, *Pass@K Policy Optimization*, arXiv 2505.15201.
//! Completions without an answer have the value 0.

use std::collections::BTreeMap;

use alft_sdk::answer_values::{self, AnswerValues};
use alft_sdk::estimate::Share;
use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Error, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// The plugin's table in the run file: k, and the values of answers, from a table or from a verifier.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct PassAtK {
    /// k ≥ 1. A group needs at least k completions.
    pub k: u32,
    /// Value of each answer key; 0 for an answer that is not in the table.
    #[serde(default)]
    pub reward: BTreeMap<String, f64>,
    /// Name of the verifier whose score is the value.
    #[serde(default)]
    pub verifier: Option<String>,
}

impl Plugin for PassAtK {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Rewards an answer by its gain to the best of k draws.") }
    }

    fn check(&self) -> Result<()> {
        if self.k == 0 {
            return Err("k is 0; it must be at least 1".into());
        }
        answer_values::check("reward", &self.reward, self.verifier.as_deref())
    }
}

impl Objective for PassAtK {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let values = AnswerValues::find(&self.reward, self.verifier.as_deref(), bundle)?;
        let too_small = |group: &Group| {
            Error::new(format!(
                "k is {}, but prompt {} has {} completions; lower k, or raise the number of samples",
                self.k, group.prompt.id, group.size
            ))
        };
        let valued = bundle.groups.iter().map(|group| self.value(group, values).ok_or_else(|| too_small(group)));
        let (utilities, rewards) = valued.collect::<Result<(Vec<f64>, Vec<_>)>>()?;
        let utility = utilities.iter().sum::<f64>() / bundle.groups.len() as f64;
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl PassAtK {
    /// Returns a group's utility and rewards, or `None` if it has too few completions.
    fn value(&self, group: &Group, values: AnswerValues<'_>) -> Option<(f64, Vec<f64>)> {
        let values: Vec<f64> = group.answers.iter().map(|answer| values.of(answer)).collect();
        // 0 is the level of completions without an answer.
        let mut levels: Vec<f64> = values.iter().copied().chain([0.0]).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        let mut utility = levels[0];
        // The reward of an answer at each level.
        let mut earned = vec![0.0];
        for (steps, below) in levels.windows(2).zip(shares_below(group, &values, &levels)) {
            let step = steps[1] - steps[0];
            utility += step * (1.0 - below.power(self.k)?);
            let price = step * f64::from(self.k) * below.power_among_others(false, self.k - 1)?;
            earned.push(earned.last().copied().unwrap_or(0.0) + price);
        }
        Some((utility, values.iter().map(|value| earned[level(&levels, *value)]).collect()))
    }
}

/// Returns the share of completions below each level but the first. One pass up and one pass down keep the work linear in
/// the number of answers.
fn shares_below(group: &Group, values: &[f64], levels: &[f64]) -> Vec<Share> {
    let none = Share { count: 0, size: group.size, frequency: 0.0 };
    let mut at_level = vec![none; levels.len()];
    for (answer, value) in group.answers.iter().zip(values) {
        let share = Share { count: answer.count, size: group.size, frequency: answer.frequency };
        at_level[level(levels, *value)].join(share);
    }
    let sums = |shares: &mut dyn Iterator<Item = &Share>| -> Vec<Share> {
        let running = shares.scan(none, |sum, share| {
            sum.join(*share);
            Some(*sum)
        });
        running.collect()
    };
    let (up, down) = (sums(&mut at_level.iter()), sums(&mut at_level.iter().rev()));
    // Completions without an answer have the value 0: they are below the positive levels only.
    let below = |at: usize| if levels[at] > 0.0 { down[levels.len() - 1 - at].complement() } else { up[at - 1] };
    (1..levels.len()).map(below).collect()
}

/// Returns the index of the level of this value.
fn level(levels: &[f64], value: f64) -> usize {
    levels.partition_point(|level| *level < value)
}

export!(PassAtK: Objective);

#[cfg(test)]
alft_conformance::conformance!(PassAtK: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;

    fn evaluate(k: u32, rewards: &[Option<f64>]) -> Result<Valuation> {
        let keys: Vec<_> = rewards.iter().map(|reward| reward.map(|reward| reward.to_string())).collect();
        let prompt = Prompt { id: "q".into(), ..Prompt::default() };
        let bundle = Bundle::sampled("x", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
        let reward = rewards.iter().flatten().map(|reward| (reward.to_string(), *reward)).collect();
        PassAtK { k, reward, verifier: None }.evaluate(&bundle)
    }

    /// The expected values come from the formulas of the paper: `pkpo_loo1` are the leave-one-out weights of the max@k
    /// gradient for a group of `rewards`.
    #[test]
    fn rewards_are_the_papers_weights_times_the_group_size() {
        #[derive(Deserialize)]
        #[serde(crate = "alft_sdk::serde")]
        struct Case {
            k: u32,
            rewards: Vec<f64>,
            pkpo_loo1: Vec<f64>,
        }
        let cases: Vec<Case> = serde_json::from_str(include_str!("../tests/data/group_objectives.json")).unwrap();
        assert_eq!(cases.len(), 36);
        for Case { k, rewards, pkpo_loo1 } in cases {
            let samples: Vec<_> = rewards.iter().copied().map(Some).collect();
            let valuation = evaluate(k, &samples).unwrap();
            let mut keys: Vec<String> = rewards.iter().map(f64::to_string).collect();
            keys.sort();
            keys.dedup();
            for (reward, weight) in rewards.iter().zip(pkpo_loo1) {
                let earned = valuation.rewards[0][keys.binary_search(&reward.to_string()).unwrap()];
                assert!((earned - rewards.len() as f64 * weight).abs() < 1e-12, "k = {k} of {rewards:?}");
            }
        }
    }

    /// The expected utility is the mean of the best of each subset of size k.
    #[test]
    fn the_utility_is_the_mean_best_of_all_subsets() {
        let samples = [Some(-2.0), None, Some(1.0), Some(-1.0), Some(-1.0)];
        let best = |set: u32| {
            let inside = (0..5).filter(|i| set >> i & 1 == 1).map(|i| samples[i].unwrap_or(0.0));
            inside.fold(f64::NEG_INFINITY, f64::max)
        };
        for k in 1..=5 {
            let sets: Vec<u32> = (0..32u32).filter(|set| set.count_ones() == k).collect();
            let mean = sets.iter().map(|set| best(*set)).sum::<f64>() / sets.len() as f64;
            let valuation = evaluate(k, &samples).unwrap();
            assert!((valuation.utility - mean).abs() < 1e-12, "k = {k}: {} is not {mean}", valuation.utility);
        }
    }

    #[test]
    fn a_group_smaller_than_k_is_refused() {
        let error = evaluate(3, &[Some(1.0), Some(0.0)]).unwrap_err().to_string();
        assert!(error.contains("k is 3, but prompt q has 2"), "{error}");
    }
}
