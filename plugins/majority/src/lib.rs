//! Majority voting: the most common answer over the bundle's phrasings earns w, and every other answer earns 0. The
//! utility is max_z ν̄(z), where ν̄ is the mean of the bundle's answer marginals.
//!
//! A heuristic: max_z ν̄(z) is convex, so an equilibrium is not unique, and training amplifies the initial majority.
//! Source: self-consistency as a reward, Zuo et al., *TTRL: Test-Time Reinforcement Learning*, arXiv 2504.16084.

use std::collections::BTreeMap;

use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// No configuration. The weight w is set in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Majority {}

/// Answers whose shares differ by less are tied: sums of shares have rounding errors.
const TIE: f64 = 1e-9;

impl Plugin for Majority {
    fn manifest(&self) -> Manifest {
        manifest!("Rewards the most common answer. A heuristic: the utility is not concave.")
    }
}

impl Objective for Majority {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let mut pooled = BTreeMap::<&str, f64>::new();
        for answer in bundle.groups.iter().flat_map(|group| &group.answers) {
            *pooled.entry(&answer.key).or_default() += answer.frequency / bundle.groups.len() as f64;
        }
        let most = pooled.values().copied().fold(0.0, f64::max);
        // A tie goes to the smallest key.
        let mode = pooled.iter().find(|(_, p)| **p >= most - TIE).map(|(key, _)| *key);
        Ok(Valuation {
            utility: most,
            rewards: bundle.rewards(|_, answer| if mode == Some(&answer.key) { 1.0 } else { 0.0 }),
            violation: None,
        })
    }
}

export!(Majority: Objective);

#[cfg(test)]
alft_conformance::conformance!(Majority: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;

    fn evaluate(groups: &[&str]) -> Valuation {
        let prompt = Prompt::default();
        let keys: Vec<Vec<_>> =
            groups.iter().map(|g| g.chars().map(|key| (key != '-').then(|| key.to_string())).collect()).collect();
        let samples: Vec<_> = keys.iter().map(|keys| Samples { prompt: &prompt, keys }).collect();
        Majority {}.evaluate(&Bundle::sampled("b", &samples, &PlugIn)).unwrap()
    }

    #[test]
    fn the_vote_is_over_all_phrasings_and_unreadable_completions_do_not_vote() {
        let valuation = evaluate(&["aab-", "bbb-"]);
        assert_eq!(valuation.rewards, [vec![0.0, 1.0], vec![1.0]]);
        assert_eq!(valuation.utility, 0.5);
        assert_eq!(evaluate(&["--"]).utility, 0.0);
    }

    #[test]
    fn a_tie_goes_to_the_smallest_key_despite_rounding() {
        for groups in [["aab", "bba"], ["bba", "aab"]] {
            assert!(evaluate(&groups).rewards.iter().all(|rewards| rewards == &[1.0, 0.0]));
        }
    }
}
