//! Coherence across the phrasings of one question. With ν̄ the mean of the bundle's answer marginals and c their
//! normalised geometric mean:
//!
//! - arithmetic consensus: U = −w/m Σ_i KL(ν_i‖ν̄) = −w·JSD, an answer earns w log(ν̄(z)/ν_i(z));
//! - geometric consensus: U = w log Σ_z Π_i ν_i(z)^{1/m}, an answer earns w c(z)/ν_i(z).
//!
//! Source: Mohri, Schneider, Wu, *Coherence Mechanisms for Provable Self-Improvement*, arXiv 2511.08440.

use std::collections::{BTreeMap, BTreeSet};

use alft_sdk::{Answer, Bundle, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// Which mean of the phrasings' marginals they are drawn to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consensus {
    /// ν̄: an answer that any phrasing gives has a part in it.
    #[default]
    Arithmetic,
    /// c ∝ Π ν_i^{1/m}: only what every phrasing gives counts.
    Geometric,
}

/// The plugin's table in the run file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coherence {
    /// `"arithmetic"` or `"geometric"`.
    #[serde(default)]
    pub consensus: Consensus,
}

impl Plugin for Coherence {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Draws the phrasings of a question to one answer.") }
    }
}

impl Objective for Coherence {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        Ok(match self.consensus {
            Consensus::Arithmetic => arithmetic(bundle),
            Consensus::Geometric => geometric(bundle),
        })
    }
}

fn arithmetic(bundle: &Bundle) -> Valuation {
    let reward = |a: &Answer| a.surprisal - a.pooled_surprisal;
    Valuation {
        utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * reward(a)).sum()),
        rewards: bundle.rewards(|_, answer| reward(answer)),
        violation: None,
    }
}

fn geometric(bundle: &Bundle) -> Valuation {
    let m = bundle.groups.len() as f64;
    let keys: BTreeSet<&str> = bundle.groups.iter().flat_map(|g| &g.answers).map(|a| a.key.as_str()).collect();
    let marginals: Vec<BTreeMap<&str, f64>> =
        bundle.groups.iter().map(|group| positive(group, &keys, least(bundle, group))).collect();
    let product = |key: &str| math::exp(marginals.iter().map(|nu| math::ln(nu[key])).sum::<f64>() / m);
    let products: BTreeMap<&str, f64> = keys.iter().map(|key| (*key, product(key))).collect();
    let total: f64 = products.values().sum();
    if keys.is_empty() {
        // Nothing to reward, and as far from agreement as half a sample each can tell.
        let nothing = bundle.mean(|group| math::ln(least(bundle, group)));
        return Valuation { utility: nothing, rewards: bundle.rewards(|_, _| 0.0), violation: None };
    }
    let reward = |nu: &BTreeMap<&str, f64>, key: &str| products[key] / total / nu[key];
    let rewards = |(group, nu): (&Group, _)| group.answers.iter().map(|a| reward(nu, &a.key)).collect();
    Valuation {
        utility: math::ln(total),
        rewards: bundle.groups.iter().zip(&marginals).map(rewards).collect(),
        violation: None,
    }
}

/// What an answer counts as that a group did not show: half a sample; where probabilities are exact, the least
/// positive number.
fn least(bundle: &Bundle, group: &Group) -> f64 {
    if bundle.exact { f64::MIN_POSITIVE } else { 0.5 / f64::from(group.size) }
}

/// ν over all the bundle's answers, none below `least`: a single zero would end an answer's consensus. The whole keeps
/// its sum, unless that is 0.
fn positive<'a>(group: &Group, keys: &BTreeSet<&'a str>, least: f64) -> BTreeMap<&'a str, f64> {
    let raised: BTreeMap<&str, f64> = keys.iter().map(|key| (*key, group.frequency(key).max(least))).collect();
    if group.answers.is_empty() {
        return raised;
    }
    let scale = group.answers.iter().map(|a| a.frequency).sum::<f64>() / raised.values().sum::<f64>();
    raised.into_iter().map(|(key, p)| (key, p * scale)).collect()
}

export!(Coherence: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::estimate::PlugIn;

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
}
