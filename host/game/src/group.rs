//! Objectives of a whole group, from the literature. Each replaces the rewards of a group's n samples.
//!
//! | kind | maximises | source |
//! | --- | --- | --- |
//! | pass-at-k | the probability that one of k samples is right | Chen et al., *Pass@k Training*, arXiv 2508.10751 |
//! | max-at-k | the expected largest reward of k samples | Walder, Karkhanis, *Pass@K Policy Optimization*, arXiv 2505.15201 |
//! | max-rl | the log of the probability of being right | maximum likelihood reinforcement learning |

use serde::{Deserialize, Serialize};

/// The number that pass@k training adds to the standard deviation before dividing by it.
const EPSILON: f64 = 1e-6;

/// A function of the rewards of a group that replaces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GroupObjective {
    /// Pass@k training, the analytic form, for rewards 0 and 1. With N₀ the number of samples of reward 0, the reward of a
    /// random k-subset has the mean R̄ = 1 − C(N₀, k)/C(n, k) and the deviation σ = √(R̄(1 − R̄)). A sample's advantage is
    /// the mean of (reward − R̄)/σ over the subsets that contain it:
    ///
    /// right: (1 − R̄)/σ; wrong: (1 − R̄ − C(N₀ − 1, k − 1)/C(n − 1, k − 1))/σ.
    PassAtK {
        /// The size of the subsets, from 1 to n.
        k: u32,
    },
    /// PKPO, the leave-one-out form ("loo1"), for any rewards: (k/n)·(E\[max(r_i, max J)\] − E\[max J\]) over the
    /// (k − 1)-subsets J of the other samples. The largest of none is 0.
    MaxAtK {
        /// The size of the subsets, from 1 to n.
        k: u32,
    },
    /// (r_i − mean)/mean, and 0 if the mean is 0; for rewards of 0 or more.
    // The braces make serde refuse unknown fields, which it ignores in a variant without braces.
    MaxRl {},
}

/// A group that the objective is not defined for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The size of the subsets is 0, or more than the number of samples.
    #[error("k is {k}; with groups of {n} samples it must be from 1 to {n}")]
    SubsetSize {
        /// The size of the subsets.
        k: u32,
        /// The number of samples.
        n: usize,
    },
    /// A reward that the objective is not defined for.
    #[error("sample {sample} has the reward {reward}; this group objective is defined for {domain}")]
    Reward {
        /// The sample's index in the group.
        sample: usize,
        /// The sample's reward.
        reward: f64,
        /// The rewards that the objective is defined for.
        domain: &'static str,
    },
}

impl GroupObjective {
    /// Returns the numbers that replace the rewards.
    pub fn rewards(self, rewards: &[f64]) -> Result<Vec<f64>, Error> {
        let n = rewards.len();
        let (valid, domain): (fn(f64) -> bool, _) = match self {
            Self::PassAtK { .. } => (|r| r == 0.0 || r == 1.0, "the rewards 0 and 1"),
            Self::MaxAtK { .. } => (f64::is_finite, "finite rewards"),
            Self::MaxRl {} => (|r| r.is_finite() && r >= 0.0, "finite rewards of 0 or more"),
        };
        if let Some(sample) = rewards.iter().position(|r| !valid(*r)) {
            return Err(Error::Reward { sample, reward: rewards[sample], domain });
        }
        match self {
            Self::PassAtK { k } => Ok(pass_at_k(rewards, checked(k, n)?)),
            Self::MaxAtK { k } => Ok(max_at_k(rewards, checked(k, n)?)),
            Self::MaxRl {} => Ok(max_rl(rewards)),
        }
    }
}

/// Returns the size of the subsets as an index. Fails if it is not from 1 to `n`.
fn checked(k: u32, n: usize) -> Result<usize, Error> {
    let size = k as usize;
    if (1..=n).contains(&size) { Ok(size) } else { Err(Error::SubsetSize { k, n }) }
}

fn pass_at_k(rewards: &[f64], k: usize) -> Vec<f64> {
    let n = rewards.len();
    let wrong = rewards.iter().filter(|r| **r == 0.0).count();
    let all_wrong = choose_ratio(wrong, n, k);
    let deviation = (all_wrong * (1.0 - all_wrong)).sqrt() + EPSILON;
    let advantage = |reward: f64| {
        let others_wrong = if reward == 0.0 { choose_ratio(wrong - 1, n - 1, k - 1) } else { 0.0 };
        (all_wrong - others_wrong) / deviation
    };
    rewards.iter().map(|r| advantage(*r)).collect()
}

/// A sample raises the maximum of J by (r_i − max J)⁺. With the other samples in rising order, the one with t samples below
/// it is max J with probability C(t, k − 2)/C(n − 1, k − 1). Samples above r_i contribute nothing, so the order of all
/// samples can be used for each of them.
fn max_at_k(rewards: &[f64], k: usize) -> Vec<f64> {
    let n = rewards.len();
    let scale = k as f64 / n as f64;
    if k == 1 {
        return rewards.iter().map(|r| scale * r).collect();
    }
    let mut rising = rewards.to_vec();
    rising.sort_by(f64::total_cmp);
    let largest: Vec<f64> =
        (0..n - 1).map(|t| (k - 1) as f64 / (n - 1) as f64 * choose_ratio(t, n - 2, k - 2)).collect();
    let gain = |reward: f64| -> f64 {
        let below = rising.iter().take_while(|other| **other < reward);
        below.zip(&largest).map(|(other, probability)| probability * (reward - other)).sum()
    };
    rewards.iter().map(|r| scale * gain(*r)).collect()
}

fn max_rl(rewards: &[f64]) -> Vec<f64> {
    let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
    rewards.iter().map(|r| if mean > 0.0 { (r - mean) / mean } else { 0.0 }).collect()
}

/// Returns C(a, k)/C(b, k), which is 0 if a < k.
fn choose_ratio(a: usize, b: usize, k: usize) -> f64 {
    (0..k).map(|i| a.saturating_sub(i) as f64 / (b - i) as f64).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Advantages for groups of 4, 6 and 8 with rewards 0 and 1, and some with other rewards, computed with the papers'
    /// formulas by an independent program.
    #[test]
    fn golden_advantages_are_reproduced() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../tests/data/group_objectives.json")).unwrap();
        assert_eq!(cases.len(), 36);
        for case in cases {
            let numbers = |key: &str| -> Option<Vec<f64>> {
                case.get(key).map(|list| list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect())
            };
            let (k, rewards) = (case["k"].as_u64().unwrap() as u32, numbers("rewards").unwrap());
            assert_eq!(rewards.len() as u64, case["n"].as_u64().unwrap());
            let objectives = [
                ("passk_adv", GroupObjective::PassAtK { k }),
                ("pkpo_loo1", GroupObjective::MaxAtK { k }),
                ("max_rl", GroupObjective::MaxRl {}),
            ];
            for (key, objective) in objectives {
                let Some(golden) = numbers(key) else {
                    assert!(matches!(objective.rewards(&rewards), Err(Error::Reward { .. })), "{key} of real rewards");
                    continue;
                };
                let ours = objective.rewards(&rewards).unwrap();
                assert_eq!(ours.len(), golden.len());
                assert!(ours.iter().zip(&golden).all(|(a, b)| (a - b).abs() < 1e-9), "{key}: {ours:?} {case}");
            }
        }
    }

    #[test]
    fn an_error_names_the_sample_or_the_subset_size() {
        let message = |objective: GroupObjective, rewards: &[f64]| objective.rewards(rewards).unwrap_err().to_string();
        assert_eq!(
            message(GroupObjective::PassAtK { k: 0 }, &[1.0, 0.0]),
            "k is 0; with groups of 2 samples it must be from 1 to 2"
        );
        assert_eq!(
            message(GroupObjective::MaxAtK { k: 3 }, &[1.0, 0.0]),
            "k is 3; with groups of 2 samples it must be from 1 to 2"
        );
        assert_eq!(
            message(GroupObjective::PassAtK { k: 1 }, &[1.0, 0.5]),
            "sample 1 has the reward 0.5; this group objective is defined for the rewards 0 and 1"
        );
        assert!(GroupObjective::MaxAtK { k: 1 }.rewards(&[f64::NAN]).is_err());
        assert!(GroupObjective::MaxRl {}.rewards(&[-1.0, 2.0]).is_err());
    }

    #[test]
    fn a_run_file_names_the_kind_and_its_options() {
        let read = serde_json::from_value::<GroupObjective>;
        assert_eq!(read(json!({"kind": "pass-at-k", "k": 4})).unwrap(), GroupObjective::PassAtK { k: 4 });
        assert_eq!(read(json!({"kind": "max-at-k", "k": 4})).unwrap(), GroupObjective::MaxAtK { k: 4 });
        assert_eq!(read(json!({"kind": "max-rl"})).unwrap(), GroupObjective::MaxRl {});
        for wrong in
            [json!({"kind": "max-rl", "k": 4}), json!({"kind": "pass-at-k"}), json!({"kind": "max-at-k", "n": 4})]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    /// Computes the leave-one-out form by its definition, over every subset.
    fn max_at_k_by_enumeration(rewards: &[f64], k: usize) -> Vec<f64> {
        let n = rewards.len();
        let largest = |subset: u32| (0..n).filter(|j| subset >> j & 1 == 1).map(|j| rewards[j]).reduce(f64::max);
        (0..n)
            .map(|i| {
                let subsets: Vec<u32> =
                    (0..1 << n).filter(|s: &u32| s.count_ones() as usize == k - 1 && s >> i & 1 == 0).collect();
                let gain = |s: &u32| match largest(*s) {
                    Some(largest) => (rewards[i] - largest).max(0.0),
                    None => rewards[i],
                };
                k as f64 / n as f64 * subsets.iter().map(gain).sum::<f64>() / subsets.len() as f64
            })
            .collect()
    }

    proptest! {
        #[test]
        fn max_at_k_equals_its_enumeration(rewards in proptest::collection::vec(-2.0..2.0f64, 1..9), k in 1..9usize) {
            let k = k.min(rewards.len());
            let ours = GroupObjective::MaxAtK { k: k as u32 }.rewards(&rewards).unwrap();
            let enumerated = max_at_k_by_enumeration(&rewards, k);
            prop_assert!(ours.iter().zip(&enumerated).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?} {enumerated:?}");
        }

        #[test]
        fn pass_at_k_and_max_rl_advantages_sum_to_zero(right in proptest::collection::vec(any::<bool>(), 1..24), k in 1..24u32) {
            let rewards: Vec<f64> = right.iter().map(|right| f64::from(u8::from(*right))).collect();
            let k = k.min(rewards.len() as u32);
            for objective in [GroupObjective::PassAtK { k }, GroupObjective::MaxRl {}] {
                let sum: f64 = objective.rewards(&rewards).unwrap().iter().sum();
                prop_assert!(sum.abs() < 1e-9, "{objective:?}: {sum}");
            }
        }
    }
}
