//! Agreement between chosen pairs of a question's phrasings: U(ν) = −w Σ_(i,j) ω_ij D(ν_i, ν_j), where the weights ω of a
//! bundle's pairs are scaled to a sum of 1. With m phrasings and ν_ij = (ν_i + ν_j)/2, an answer earns
//!
//! - for D = JSD: w m Σ_j ω_ij ½ log(ν_ij(z)/ν_i(z)). From samples, shares are plug-in estimates, so 0 ≤ D ≤ log 2;
//! - for D = ‖ν_i − ν_j‖²: −2w m Σ_j ω_ij (ν_i(z) − ν_j(z)). From samples it is unbiased: ν_i is the share of the other
//!   samples.
//!
//! Each phrasing is pulled to its partners only, where coherence pulls all phrasings to one consensus. Source of the game:
//! Mohri, Schneider, Wu, arXiv 2604.27166.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Answer, Bundle, Error, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// A divergence D of two distributions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "kebab-case")]
pub enum Divergence {
    /// Jensen-Shannon divergence, which is bounded.
    #[default]
    Jsd,
    /// Squared Euclidean distance ‖ν_i − ν_j‖².
    SquaredL2,
}

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Pairwise {
    /// `"jsd"` or `"squared-l2"`.
    #[serde(default)]
    pub divergence: Divergence,
    /// Ids of two prompts of a bundle, and a weight. If left out, all pairs of every bundle have equal weight.
    #[serde(default)]
    pub pairs: Option<Vec<(String, String, f64)>>,
}

impl Plugin for Pairwise {
    fn manifest(&self) -> Manifest {
        let summary = "Pulls chosen pairs of a question's phrasings to each other.";
        Manifest { concave: true, gradient: true, ..manifest!(summary) }
    }

    fn check(&self) -> Result<()> {
        let Some(pairs) = &self.pairs else { return Ok(()) };
        if pairs.is_empty() {
            return Err("pairs is empty; add a pair of prompts, or leave it out to pair all".into());
        }
        for (one, other, weight) in pairs {
            if one == other {
                return Err(format!("pairs: \"{one}\" is paired with itself; name two different prompts").into());
            }
            if !(weight.is_finite() && *weight > 0.0) {
                let pair = format!("\"{one}\" and \"{other}\"");
                return Err(format!("pairs: {pair} have the weight {weight}; it must be above 0").into());
            }
        }
        Ok(())
    }
}

impl Objective for Pairwise {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let pairs = self.pairs_of(bundle)?;
        let total: f64 = pairs.iter().map(|(.., weight)| weight).sum();
        let mut rewards = bundle.rewards(|_, _| 0.0);
        for (one, other, weight) in pairs {
            let scale = bundle.groups.len() as f64 * weight / total;
            for (this, partner) in [(one, other), (other, one)] {
                for (reward, answer) in rewards[this].iter_mut().zip(&bundle.groups[this].answers) {
                    *reward += scale * self.divergence.pull(answer, bundle.groups[partner].answer(&answer.key));
                }
            }
        }
        let values = bundle.groups.iter().zip(&rewards).map(|(group, rewards)| {
            group.answers.iter().zip(rewards).map(|(answer, reward)| answer.frequency * reward).sum::<f64>()
        });
        // Euler's theorem: U is homogeneous, so ⟨ν, ∇U⟩ is the degree times U.
        let utility = values.sum::<f64>() / bundle.groups.len() as f64 / self.divergence.degree();
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl Pairwise {
    /// Returns the bundle's pairs, by index.
    fn pairs_of(&self, bundle: &Bundle) -> Result<Vec<(usize, usize, f64)>> {
        let m = bundle.groups.len();
        let Some(pairs) = &self.pairs else {
            return Ok((0..m).flat_map(|one| (one + 1..m).map(move |other| (one, other, 1.0))).collect());
        };
        let unknown = |reason: String| {
            let ids: Vec<&str> = bundle.groups.iter().map(|group| group.prompt.id.as_str()).collect();
            Error::new(format!("pairs: {reason} bundle {} (its prompts are: {})", bundle.id, ids.join(", ")))
        };
        let place = |id: &str| bundle.groups.iter().position(|group| group.prompt.id == id);
        let mut found = Vec::new();
        for (one, other, weight) in pairs {
            match (place(one), place(other)) {
                (Some(at), Some(with)) => found.push((at, with, *weight)),
                (Some(_), None) => {
                    return Err(unknown(format!("\"{one}\" is paired with \"{other}\", which is not a prompt of")));
                }
                (None, Some(_)) => {
                    return Err(unknown(format!("\"{other}\" is paired with \"{one}\", which is not a prompt of")));
                }
                // A pair of another bundle.
                (None, None) => {}
            }
        }
        if found.is_empty() { Err(unknown("no pair is in".into())) } else { Ok(found) }
    }
}

impl Divergence {
    /// Returns −∂D/∂ν(z) for an answer, where `partner` is the same answer of the other prompt.
    fn pull(self, answer: &Answer, partner: Option<&Answer>) -> f64 {
        match self {
            Self::Jsd => 0.5 * log_mean_ratio(partner.map_or(f64::NEG_INFINITY, |partner| log_ratio(partner, answer))),
            Self::SquaredL2 => 2.0 * (partner.map_or(0.0, |partner| partner.frequency) - answer.leave_one_out),
        }
    }

    /// Returns the degree of D as a homogeneous function.
    fn degree(self) -> f64 {
        match self {
            Self::Jsd => 1.0,
            Self::SquaredL2 => 2.0,
        }
    }
}

/// Returns log(a/b) of the two answers' probabilities.
fn log_ratio(a: &Answer, b: &Answer) -> f64 {
    match b.count {
        // Exact probabilities may underflow where their logarithms do not.
        0 => b.surprisal - a.surprisal,
        _ => math::ln(a.frequency / b.frequency),
    }
}

/// Returns log((1 + e^x)/2) without overflow.
fn log_mean_ratio(x: f64) -> f64 {
    x.max(0.0) + math::ln(0.5 * (1.0 + math::exp(-x.abs())))
}

export!(Pairwise: Objective);

#[cfg(test)]
alft_conformance::conformance!(Pairwise: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;
    use alft_sdk::{dispatch, roles};

    /// Evaluates a bundle of prompts "p0", "p1", …
    fn evaluate(config: &str, groups: &[&str]) -> Result<Valuation> {
        let prompts: Vec<Prompt> =
            (0..groups.len()).map(|i| Prompt { id: format!("p{i}"), ..Prompt::default() }).collect();
        let keys: Vec<Vec<_>> = groups.iter().map(|g| g.chars().map(|key| Some(key.to_string())).collect()).collect();
        let samples: Vec<_> = prompts.iter().zip(&keys).map(|(prompt, keys)| Samples { prompt, keys }).collect();
        let bundle = Bundle::sampled("b", &samples, &PlugIn);
        Ok(dispatch::call::<Pairwise, roles::Evaluate>(config, &[bundle])?.remove(0))
    }

    #[test]
    fn jsd_is_0_for_equal_and_log_2_for_disjoint_answers() {
        assert_eq!(evaluate("{}", &["ab", "ab"]).unwrap().utility, 0.0);
        let apart = evaluate("{}", &["aa", "bb", "aa"]).unwrap();
        assert!((apart.utility + 2.0 / 3.0 * 2f64.ln()).abs() < 1e-15, "two of the three pairs are disjoint");
        assert!(
            apart.rewards[0][0] > apart.rewards[1][0],
            "the phrasing without agreement earns least: {:?}",
            apart.rewards
        );
        let alone = evaluate("{}", &["ab"]).unwrap();
        assert_eq!((alone.utility, alone.rewards), (0.0, vec![vec![0.0, 0.0]]));
    }

    #[test]
    fn squared_l2_is_a_u_statistic() {
        let valuation = evaluate(r#"{"divergence": "squared-l2"}"#, &["aab", "abb"]).unwrap();
        // Within each group 1 of 3 pairs of samples agrees, so ‖ν‖² is 1/3; across the groups 4 of 9 pairs agree.
        assert!((valuation.utility + (1.0 / 3.0 + 1.0 / 3.0 - 8.0 / 9.0)).abs() < 1e-15, "{}", valuation.utility);
        assert!((valuation.rewards[0][0] + 4.0 * (0.5 - 1.0 / 3.0)).abs() < 1e-15, "{:?}", valuation.rewards);
    }

    #[test]
    fn weights_are_relative_to_their_sum() {
        let weighted = |one: f64, other: f64| {
            let config = format!(r#"{{"pairs": [["p0", "p1", {one}], ["p2", "p1", {other}], ["q0", "q1", 7]]}}"#);
            evaluate(&config, &["aab", "abb", "bbb"]).unwrap()
        };
        assert_eq!(weighted(1.0, 3.0), weighted(0.25, 0.75));
        assert!(weighted(3.0, 1.0).utility != weighted(1.0, 3.0).utility);
    }

    #[test]
    fn unknown_prompts_are_reported_with_the_known_ones() {
        for (config, words) in [
            (
                r#"{"pairs": [["p0", "p7", 1]]}"#,
                r#""p0" is paired with "p7", which is not a prompt of bundle b (its prompts are: p0, p1)"#,
            ),
            (r#"{"pairs": [["q0", "q1", 1]]}"#, "no pair is in bundle b (its prompts are: p0, p1)"),
            (r#"{"pairs": [["p0", "p0", 1]]}"#, "paired with itself"),
            (r#"{"pairs": [["p0", "p1", 0]]}"#, "above 0"),
            (r#"{"pairs": []}"#, "pairs is empty"),
        ] {
            let error = evaluate(config, &["a", "b"]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
