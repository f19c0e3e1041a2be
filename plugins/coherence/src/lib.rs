//! Coherence across the phrasings of a question. Let ν̄ be the mean of the bundle's answer marginals, c their normalised
//! geometric mean, and q the mean of the reference policy's answer marginals.
//!
//! - Arithmetic consensus: U = −w/m Σ_i KL(ν_i‖ν̄) = −w·JSD. An answer earns w log(ν̄(z)/ν_i(z)).
//! - Geometric consensus: U = w log Σ_z Π_i ν_i(z)^{1/m}. An answer earns w c(z)/ν_i(z).
//! - Reference consensus: U = −w/m Σ_i KL(ν_i‖q). An answer earns w log(q(z)/ν_i(z)). Since q is fixed, the consensus does
//!   not drift during training.
//!
//! Source: Mohri, Schneider, Wu, *Coherence Mechanisms for Provable Self-Improvement*, arXiv 2511.08440.

use std::collections::{BTreeMap, BTreeSet};

use alft_sdk::serde::Deserialize;
use alft_sdk::{Answer, Bundle, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// The distribution that the phrasings' marginals are pulled to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "kebab-case")]
pub enum Consensus {
    /// ν̄, which contains every answer that any phrasing gives.
    #[default]
    Arithmetic,
    /// c ∝ Π ν_i^{1/m}, which contains only answers that every phrasing gives.
    Geometric,
    /// q, the phrasings' mean marginal before training.
    Reference,
}

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Coherence {
    /// `"arithmetic"`, `"geometric"` or `"reference"`.
    #[serde(default)]
    pub consensus: Consensus,
}

impl Plugin for Coherence {
    fn manifest(&self) -> Manifest {
        Manifest {
            concave: true,
            gradient: true,
            needs_reference: self.consensus == Consensus::Reference,
            ..manifest!("Pulls the phrasings of a question to the same answer.")
        }
    }
}

impl Objective for Coherence {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        match self.consensus {
            Consensus::Arithmetic => Ok(divergence(bundle, |_, answer| -answer.pooled_surprisal)),
            Consensus::Geometric => geometric(bundle),
            Consensus::Reference => Ok(divergence(bundle, |group, answer| {
                // An answer that no sample of the reference policy gave counts as half a sample of the bundle. If
                // probabilities are exact and the reference was sampled, the number of its samples is unknown.
                let least = if bundle.exact { UNSEEN } else { least(group) / bundle.groups.len() as f64 };
                let known = bundle.exact && answer.pooled_reference_probability > 0.0;
                math::ln(if known {
                    answer.pooled_reference_probability
                } else {
                    answer.pooled_reference_probability.max(least)
                })
            })),
        }
    }
}

/// Reference probability of an answer without samples of the reference policy, if their number is unknown.
const UNSEEN: f64 = 1e-4;

/// Values −1/m Σ_i KL(ν_i‖q), given log q.
fn divergence(bundle: &Bundle, log_q: impl Fn(&Group, &Answer) -> f64) -> Valuation {
    let reward = |group: &Group, answer: &Answer| log_q(group, answer) + answer.surprisal;
    Valuation {
        utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * reward(group, a)).sum()),
        rewards: bundle.rewards(reward),
        violation: None,
    }
}

fn geometric(bundle: &Bundle) -> Result<Valuation> {
    let keys: BTreeSet<&str> = bundle.groups.iter().flat_map(|g| &g.answers).map(|a| a.key.as_str()).collect();
    let logs: Vec<BTreeMap<&str, f64>> = bundle.groups.iter().map(|group| log_marginal(bundle, group, &keys)).collect();
    // An answer that one phrasing cannot give is not in the consensus.
    let log_mean =
        |key: &str| logs.iter().map(|nu| nu.get(key)).sum::<Option<f64>>().map(|sum| sum / logs.len() as f64);
    let means: BTreeMap<&str, f64> = keys.iter().filter_map(|key| Some((*key, log_mean(key)?))).collect();
    if means.is_empty() {
        if bundle.exact {
            let reason = "its prompts have no answer in common; set consensus = \"arithmetic\"";
            return Err(format!("bundle {}: {reason}", bundle.id).into());
        }
        // No answer to reward. The utility is that of half a sample for each group.
        let nothing = bundle.mean(|group| math::ln(least(group)));
        return Ok(Valuation { utility: nothing, rewards: bundle.rewards(|_, _| 0.0), violation: None });
    }
    let most = means.values().copied().fold(f64::NEG_INFINITY, f64::max);
    let utility = most + math::ln(means.values().map(|mean| math::exp(mean - most)).sum());
    let reward = |nu: &BTreeMap<&str, f64>, key: &str| means.get(key).map_or(0.0, |c| math::exp(c - nu[key] - utility));
    let rewards = |(group, nu): (&Group, _)| group.answers.iter().map(|a| reward(nu, &a.key)).collect();
    Ok(Valuation { utility, rewards: bundle.groups.iter().zip(&logs).map(rewards).collect(), violation: None })
}

/// Returns log ν for each answer that a phrasing can give.
///
/// If probabilities are exact, these are the answers of its group. From samples, these are all answers of the bundle, since
/// an answer without samples may have a positive probability: each counts at least half a sample, and the probabilities are
/// scaled back to their sum, unless that is 0.
fn log_marginal<'a>(bundle: &Bundle, group: &'a Group, keys: &BTreeSet<&'a str>) -> BTreeMap<&'a str, f64> {
    if bundle.exact {
        return group.answers.iter().map(|a| (a.key.as_str(), -a.surprisal)).collect();
    }
    let raised: BTreeMap<&str, f64> = keys.iter().map(|key| (*key, group.frequency(key).max(least(group)))).collect();
    if group.answers.is_empty() {
        return raised.into_iter().map(|(key, p)| (key, math::ln(p))).collect();
    }
    let scale = group.answers.iter().map(|a| a.frequency).sum::<f64>() / raised.values().sum::<f64>();
    raised.into_iter().map(|(key, p)| (key, math::ln(p * scale))).collect()
}

/// Returns the probability of an answer without samples in the group: half a sample.
fn least(group: &Group) -> f64 {
    0.5 / f64::from(group.size)
}

export!(Coherence: Objective);

#[cfg(test)]
alft_conformance::conformance!(Coherence: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;

    fn bundle(groups: &[&[&str]]) -> Bundle {
        let prompt = Prompt::default();
        let keys: Vec<Vec<_>> = groups.iter().map(|g| g.iter().map(|key| Some((*key).to_owned())).collect()).collect();
        let samples: Vec<_> = keys.iter().map(|keys| Samples { prompt: &prompt, keys }).collect();
        Bundle::sampled("b", &samples, &PlugIn)
    }

    fn evaluate(consensus: Consensus, groups: &[&[&str]]) -> Valuation {
        Coherence { consensus }.evaluate(&bundle(groups)).unwrap()
    }

    #[test]
    fn utility_is_minus_jsd() {
        let apart = evaluate(Consensus::Arithmetic, &[&["a", "a"], &["b", "b"]]);
        assert!((apart.utility + 2f64.ln()).abs() < 1e-15, "disjoint answers: JSD = log 2, got {}", apart.utility);
        let together = evaluate(Consensus::Arithmetic, &[&["a", "b"], &["a", "b"]]);
        assert_eq!(together.utility, 0.0);
    }

    #[test]
    fn the_answer_that_the_other_phrasing_gives_earns_more() {
        for consensus in [Consensus::Arithmetic, Consensus::Geometric] {
            let rewards = evaluate(consensus, &[&["a", "a", "b", "b"], &["a", "a", "a", "a"]]).rewards;
            assert!(rewards[0][0] > rewards[0][1], "{consensus:?}: {rewards:?}");
        }
    }

    #[test]
    fn agreement_is_the_geometric_utilitys_maximum() {
        assert!(evaluate(Consensus::Geometric, &[&["a", "b"], &["a", "b"]]).utility.abs() < 1e-15);
        assert!(evaluate(Consensus::Geometric, &[&["a", "a"], &["a", "b"]]).utility < 0.0);
    }

    #[test]
    fn a_phrasing_without_answers_does_not_agree() {
        let keys = [vec![Some("a".to_owned()), Some("a".to_owned())], vec![None, None]];
        let prompt = Prompt::default();
        let samples = [Samples { prompt: &prompt, keys: &keys[0] }, Samples { prompt: &prompt, keys: &keys[1] }];
        let half = Bundle::sampled("b", &samples, &PlugIn);
        let none = Bundle::sampled("b", &samples[1..], &PlugIn);
        for bundle in [half, none] {
            let utility = Coherence { consensus: Consensus::Geometric }.evaluate(&bundle).unwrap().utility;
            assert!(utility.is_finite() && utility < -0.5, "{utility}");
        }
    }

    #[test]
    fn one_phrasing_agrees_with_itself() {
        let alone = evaluate(Consensus::Arithmetic, &[&["a", "b", "b"]]);
        assert_eq!((alone.utility, alone.rewards), (0.0, vec![vec![0.0, 0.0]]));
    }

    #[test]
    fn the_reference_consensus_is_the_reference_probability() {
        let mut bundle = bundle(&[&["a", "b"], &["a", "c"]]);
        for answer in bundle.groups.iter_mut().flat_map(|group| &mut group.answers) {
            answer.pooled_reference_probability = if answer.key == "a" { 0.75 } else { 0.0 };
        }
        let plugin = Coherence { consensus: Consensus::Reference };
        assert!(plugin.manifest().needs_reference);
        let valuation = plugin.evaluate(&bundle).unwrap();
        let (seen, unseen) = (1.5f64.ln(), 0.25f64.ln());
        for reward in valuation.rewards {
            assert!((reward[0] - seen).abs() < 1e-15 && (reward[1] - unseen).abs() < 1e-15, "{reward:?}");
        }
        assert!((valuation.utility - 0.5 * (seen + unseen)).abs() < 1e-15);
    }

    #[test]
    fn an_answer_that_one_phrasing_cannot_give_is_not_in_the_geometric_consensus() {
        let prompt = Prompt::default();
        let half = |key| BTreeMap::from([("a", 0.5), (key, 0.5)]);
        let (one, other) = (half("b"), half("c"));
        let plugin = Coherence { consensus: Consensus::Geometric };
        let some = plugin.evaluate(&Bundle::exact("x", &[(&prompt, &one), (&prompt, &other)])).unwrap();
        assert!((some.utility - 0.5f64.ln()).abs() < 1e-15);
        assert_eq!(some.rewards, [[2.0, 0.0], [2.0, 0.0]]);
        let nothing = BTreeMap::from([("z", 1.0)]);
        let error = plugin.evaluate(&Bundle::exact("x", &[(&prompt, &one), (&prompt, &nothing)])).unwrap_err();
        assert!(error.to_string().contains("bundle x: its prompts have no answer in common"), "{error}");
    }
}
