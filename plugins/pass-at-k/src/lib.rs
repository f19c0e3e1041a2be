//! The best of k draws. With r(z) the worth of an answer, U(ν) = w/m Σ_i E[max of r over k draws from ν_i]; over the
//! ascending distinct levels t of r, each by its step above the level before it,
//!
//! - E max = Σ_t step(t) (1 − P(r < t)^k), for right or wrong 1 − (1 − p)^k;
//! - an answer earns w Σ_{t ≤ r(z)} step(t) k P(r < t)^{k−1}: what one more draw of it is expected to add, k times.
//!
//! From samples both are unbiased: powers become U-statistics, the reward's among the *other* samples, which makes it K
//! times the leave-one-out weight of Walder & Karkhanis, *Pass@K Policy Optimization*, arXiv 2505.15201. Completions
//! without an answer are worth 0.

use std::collections::BTreeMap;

use alft_sdk::answer_values::{self, AnswerValues};
use alft_sdk::estimate::Share;
use alft_sdk::{Bundle, Error, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// The plugin's table in the run file: k, and what an answer is worth, by a list or by a verifier.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassAtK {
    /// k ≥ 1. A group needs as many completions.
    pub k: u32,
    /// Answer key to worth; answers that are not named are worth 0.
    #[serde(default)]
    pub reward: BTreeMap<String, f64>,
    /// The name of the verifier whose score is the worth.
    #[serde(default)]
    pub verifier: Option<String>,
}

impl Plugin for PassAtK {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Rewards answers by what they add to the best of k.") }
    }

    fn check(&self) -> Result<()> {
        if self.k == 0 {
            return Err("k is 0; it must be 1 or more".into());
        }
        answer_values::check("reward", &self.reward, self.verifier.as_deref())
    }
}

impl Objective for PassAtK {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let worth = AnswerValues::find(&self.reward, self.verifier.as_deref(), bundle)?;
        let too_small = |group: &Group| {
            Error::new(format!(
                "k is {}, but prompt {} has {} completions: lower k or sample more",
                self.k, group.prompt.id, group.size
            ))
        };
        let priced = bundle.groups.iter().map(|group| self.price(group, worth).ok_or_else(|| too_small(group)));
        let (utilities, rewards) = priced.collect::<Result<(Vec<f64>, Vec<_>)>>()?;
        let utility = utilities.iter().sum::<f64>() / bundle.groups.len() as f64;
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl PassAtK {
    /// A group's utility and rewards; `None` if it has too few completions.
    fn price(&self, group: &Group, worth: AnswerValues<'_>) -> Option<(f64, Vec<f64>)> {
        let values: Vec<f64> = group.answers.iter().map(|answer| worth.of(answer)).collect();
        // 0 is a level too: that of completions without an answer.
        let mut levels: Vec<f64> = values.iter().copied().chain([0.0]).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        let mut utility = levels[0];
        // What an answer of each level earns.
        let mut earned = vec![0.0];
        for (steps, below) in levels.windows(2).zip(shares_below(group, &values, &levels)) {
            let step = steps[1] - steps[0];
            utility += step * (1.0 - below.power(self.k)?);
            let price = step * f64::from(self.k) * below.power_among_others(false, self.k - 1)?;
            earned.push(earned.last().copied().unwrap_or(0.0) + price);
        }
        Some((utility, values.iter().map(|value| earned[place(&levels, *value)]).collect()))
    }
}

/// The completions worth less than each level but the first. One pass up and one down: a share counted for each level would
/// take the square of the answers.
fn shares_below(group: &Group, values: &[f64], levels: &[f64]) -> Vec<Share> {
    let nobody = Share { count: 0, size: group.size, frequency: 0.0 };
    let mut own = vec![nobody; levels.len()];
    for (answer, value) in group.answers.iter().zip(values) {
        let share = Share { count: answer.count, size: group.size, frequency: answer.frequency };
        own[place(levels, *value)].join(share);
    }
    let sums = |shares: &mut dyn Iterator<Item = &Share>| -> Vec<Share> {
        let running = shares.scan(nobody, |sum, share| {
            sum.join(*share);
            Some(*sum)
        });
        running.collect()
    };
    let (up, down) = (sums(&mut own.iter()), sums(&mut own.iter().rev()));
    // Completions without an answer are worth 0, so they are below the levels above it, and no others.
    let below = |at: usize| if levels[at] > 0.0 { down[levels.len() - 1 - at].complement() } else { up[at - 1] };
    (1..levels.len()).map(below).collect()
}

/// The level of an answer of this value.
fn place(levels: &[f64], value: f64) -> usize {
    levels.partition_point(|level| *level < value)
}

export!(PassAtK: Objective);
alft_sdk::conformance!(PassAtK: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::estimate::PlugIn;

    fn evaluate(k: u32, rewards: &[Option<f64>]) -> Result<Valuation> {
        let keys: Vec<_> = rewards.iter().map(|reward| reward.map(|reward| reward.to_string())).collect();
        let prompt = Prompt { id: "q".into(), ..Prompt::default() };
        let bundle = Bundle::sampled("x", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
        let reward = rewards.iter().flatten().map(|reward| (reward.to_string(), *reward)).collect();
        PassAtK { k, reward, verifier: None }.evaluate(&bundle)
    }

    /// Against values computed with the formulas of the paper: `pkpo_loo1` are the leave-one-out weights of the max@k
    /// gradient for a group of `rewards`.
    #[test]
    fn rewards_are_the_papers_weights_times_the_group_size() {
        #[derive(serde::Deserialize)]
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

    /// The mean over all subsets of size k of their best.
    #[test]
    fn utility_is_the_mean_best_of_the_subsets_and_no_answer_is_worth_0() {
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
