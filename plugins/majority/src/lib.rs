//! Majority voting: an answer earns w if it is the most common one over the bundle's phrasings, else nothing. The
//! utility shown is ν̄ at that answer, ν̄ the mean of the bundle's answer marginals.
//!
//! A heuristic: max_z ν̄(z) is convex, so the game has no equilibrium to speak of and training goes wherever its start
//! leans. Source: self-consistency as a reward, Zuo et al., *TTRL: Test-Time Reinforcement Learning*, arXiv 2504.16084.

use std::collections::BTreeMap;

use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// Nothing to configure: the weight is the run file's.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Majority {}

/// Sums of shares round; answers as close as this are tied.
const TIE: f64 = 1e-9;

impl Plugin for Majority {
    fn manifest(&self) -> Manifest {
        manifest!("Rewards the most common answer: a heuristic without an equilibrium.")
    }
}

impl Objective for Majority {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let mut pooled = BTreeMap::<&str, f64>::new();
        for answer in bundle.groups.iter().flat_map(|group| &group.answers) {
            *pooled.entry(&answer.key).or_default() += answer.frequency / bundle.groups.len() as f64;
        }
        let most = pooled.values().copied().fold(0.0, f64::max);
        // The first of them, for there must be one: the smallest key.
        let mode = pooled.iter().find(|(_, p)| **p >= most - TIE).map(|(key, _)| *key);
        Ok(Valuation {
            utility: most,
            rewards: bundle.rewards(|_, answer| if mode == Some(&answer.key) { 1.0 } else { 0.0 }),
            violation: None,
        })
    }
}

export!(Majority: Objective);
alft_sdk::conformance!(Majority: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::estimate::PlugIn;

    fn evaluate(groups: &[&str]) -> Valuation {
        let prompt = Prompt::default();
        let keys: Vec<Vec<_>> =
            groups.iter().map(|g| g.chars().map(|key| (key != '-').then(|| key.to_string())).collect()).collect();
        let samples: Vec<_> = keys.iter().map(|keys| Samples { prompt: &prompt, keys }).collect();
        Majority {}.evaluate(&Bundle::sampled("b", &samples, &PlugIn)).unwrap()
    }

    #[test]
    fn the_vote_is_over_all_phrasings_and_nobody_votes_for_no_answer() {
        let valuation = evaluate(&["aab-", "bbb-"]);
        assert_eq!(valuation.rewards, [vec![0.0, 1.0], vec![1.0]]);
        assert_eq!(valuation.utility, 0.5);
        assert_eq!(evaluate(&["--"]).utility, 0.0);
    }

    #[test]
    fn a_tie_goes_to_the_smallest_key_however_shares_round() {
        for groups in [["aab", "bba"], ["bba", "aab"]] {
            assert!(evaluate(&groups).rewards.iter().all(|rewards| rewards == &[1.0, 0.0]));
        }
    }
}
