//! Agreement between chosen pairs of a question's phrasings: U(ν) = −w Σ_(i,j) ω_ij D(ν_i, ν_j), the weights ω of a
//! bundle's pairs scaled to a sum of 1. Of m phrasings, with ν_ij = (ν_i + ν_j)/2, an answer earns
//!
//! - D = JSD: w m Σ_j ω_ij ½ log(ν_ij(z)/ν_i(z)). From samples shares are plugged in, so 0 ≤ D ≤ log 2;
//! - D = ‖ν_i − ν_j‖²: −2w m Σ_j ω_ij (ν_i(z) − ν_j(z)). From samples unbiased: ν_i is that of the *other* samples.
//!
//! Each phrasing is drawn to its partners alone, where coherence draws all to one consensus. The game that both are
//! played in: Mohri, Schneider, Wu, arXiv 2604.27166.

use alft_sdk::{Answer, Bundle, Error, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// How far two distributions are apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// Jensen-Shannon: bounded, blind to how wrong a rare answer is.
    #[default]
    Jsd,
    /// ‖ν_i − ν_j‖².
    SquaredL2,
}

/// The plugin's table in the run file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairwise {
    /// `"jsd"` or `"squared-l2"`.
    #[serde(default)]
    pub divergence: Divergence,
    /// The ids of two prompts of one bundle, and a weight. Left out, all pairs of every bundle weigh the same.
    #[serde(default)]
    pub pairs: Option<Vec<(String, String, f64)>>,
}

impl Plugin for Pairwise {
    fn manifest(&self) -> Manifest {
        let summary = "Draws chosen pairs of a question's phrasings to one another.";
        Manifest { concave: true, gradient: true, ..manifest!(summary) }
    }

    fn check(&self) -> Result<()> {
        let Some(pairs) = &self.pairs else { return Ok(()) };
        if pairs.is_empty() {
            return Err("pairs is empty; name two prompts, or leave it out to pair all".into());
        }
        for (one, other, weight) in pairs {
            if one == other {
                return Err(format!("pairs: \"{one}\" is paired with itself; name two prompts").into());
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
            for (own, partner) in [(one, other), (other, one)] {
                for (reward, answer) in rewards[own].iter_mut().zip(&bundle.groups[own].answers) {
                    *reward += scale * self.divergence.pull(answer, bundle.groups[partner].answer(&answer.key));
                }
            }
        }
        let values = bundle.groups.iter().zip(&rewards).map(|(group, rewards)| {
            group.answers.iter().zip(rewards).map(|(answer, reward)| answer.frequency * reward).sum::<f64>()
        });
        // Euler's theorem: U is homogeneous, so ⟨ν, its gradient⟩ is its degree times U.
        let utility = values.sum::<f64>() / bundle.groups.len() as f64 / self.divergence.degree();
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl Pairwise {
    /// The bundle's pairs, by position.
    fn pairs_of(&self, bundle: &Bundle) -> Result<Vec<(usize, usize, f64)>> {
        let m = bundle.groups.len();
        let Some(pairs) = &self.pairs else {
            return Ok((0..m).flat_map(|one| (one + 1..m).map(move |other| (one, other, 1.0))).collect());
        };
        let stranger = |reason: String| {
            let ids: Vec<&str> = bundle.groups.iter().map(|group| group.prompt.id.as_str()).collect();
            Error::new(format!("pairs: {reason} bundle {} (there is: {})", bundle.id, ids.join(", ")))
        };
        let place = |id: &str| bundle.groups.iter().position(|group| group.prompt.id == id);
        let mut own = Vec::new();
        for (one, other, weight) in pairs {
            match (place(one), place(other)) {
                (Some(at), Some(with)) => own.push((at, with, *weight)),
                (Some(_), None) => return Err(stranger(format!("\"{one}\" is paired with \"{other}\", no prompt of"))),
                (None, Some(_)) => return Err(stranger(format!("\"{other}\" is paired with \"{one}\", no prompt of"))),
                // Another bundle's.
                (None, None) => {}
            }
        }
        if own.is_empty() { Err(stranger("no pair is of".into())) } else { Ok(own) }
    }
}

impl Divergence {
    /// −∂D/∂ν(z) for an answer, `partner` being the same answer of the other prompt.
    fn pull(self, answer: &Answer, partner: Option<&Answer>) -> f64 {
        match self {
            Self::Jsd => 0.5 * log_mean_ratio(partner.map_or(f64::NEG_INFINITY, |partner| log_ratio(partner, answer))),
            Self::SquaredL2 => 2.0 * (partner.map_or(0.0, |partner| partner.frequency) - answer.leave_one_out),
        }
    }

    fn degree(self) -> f64 {
        match self {
            Self::Jsd => 1.0,
            Self::SquaredL2 => 2.0,
        }
    }
}

/// log(a/b).
fn log_ratio(a: &Answer, b: &Answer) -> f64 {
    match b.count {
        // Exact probabilities may be too small for a number while their logarithms are not.
        0 => b.surprisal - a.surprisal,
        _ => math::ln(a.frequency / b.frequency),
    }
}

/// log((1 + e^x)/2) without overflow: the logarithm of a mean over its smaller part.
fn log_mean_ratio(x: f64) -> f64 {
    x.max(0.0) + math::ln(0.5 * (1.0 + math::exp(-x.abs())))
}

export!(Pairwise: Objective);
alft_sdk::conformance!(Pairwise: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::dispatch;
    use alft_sdk::estimate::PlugIn;

    /// A bundle of prompts "p0", "p1", …
    fn evaluate(config: &str, groups: &[&str]) -> Result<Valuation> {
        let prompts: Vec<Prompt> =
            (0..groups.len()).map(|i| Prompt { id: format!("p{i}"), ..Prompt::default() }).collect();
        let keys: Vec<Vec<_>> = groups.iter().map(|g| g.chars().map(|key| Some(key.to_string())).collect()).collect();
        let samples: Vec<_> = prompts.iter().zip(&keys).map(|(prompt, keys)| Samples { prompt, keys }).collect();
        let bundle = Bundle::sampled("b", &samples, &PlugIn);
        Ok(dispatch::evaluate::<Pairwise>(config, &[bundle])?.remove(0))
    }

    #[test]
    fn jsd_is_0_together_and_log_2_apart() {
        assert_eq!(evaluate("{}", &["ab", "ab"]).unwrap().utility, 0.0);
        let apart = evaluate("{}", &["aa", "bb", "aa"]).unwrap();
        assert!((apart.utility + 2.0 / 3.0 * 2f64.ln()).abs() < 1e-15, "two of the three pairs are apart");
        assert!(apart.rewards[0][0] > apart.rewards[1][0], "the odd one out earns least: {:?}", apart.rewards);
        let alone = evaluate("{}", &["ab"]).unwrap();
        assert_eq!((alone.utility, alone.rewards), (0.0, vec![vec![0.0, 0.0]]));
    }

    #[test]
    fn squared_l2_is_a_u_statistic() {
        let valuation = evaluate(r#"{"divergence": "squared-l2"}"#, &["aab", "abb"]).unwrap();
        // ‖ν‖² is 1/3 of either (of 3 pairs of samples 1 agrees), and of the 9 pairs across 4 agree.
        assert!((valuation.utility + (1.0 / 3.0 + 1.0 / 3.0 - 8.0 / 9.0)).abs() < 1e-15, "{}", valuation.utility);
        assert!((valuation.rewards[0][0] + 4.0 * (0.5 - 1.0 / 3.0)).abs() < 1e-15, "{:?}", valuation.rewards);
    }

    #[test]
    fn weights_count_relative_to_their_sum() {
        let weighted = |one: f64, other: f64| {
            let config = format!(r#"{{"pairs": [["p0", "p1", {one}], ["p2", "p1", {other}], ["q0", "q1", 7]]}}"#);
            evaluate(&config, &["aab", "abb", "bbb"]).unwrap()
        };
        assert_eq!(weighted(1.0, 3.0), weighted(0.25, 0.75));
        assert!(weighted(3.0, 1.0).utility != weighted(1.0, 3.0).utility);
    }

    #[test]
    fn strangers_are_named_with_the_prompts_that_there_are() {
        for (config, words) in [
            (
                r#"{"pairs": [["p0", "p7", 1]]}"#,
                r#""p0" is paired with "p7", no prompt of bundle b (there is: p0, p1)"#,
            ),
            (r#"{"pairs": [["q0", "q1", 1]]}"#, "no pair is of bundle b (there is: p0, p1)"),
            (r#"{"pairs": [["p0", "p0", 1]]}"#, "paired with itself"),
            (r#"{"pairs": [["p0", "p1", 0]]}"#, "above 0"),
            (r#"{"pairs": []}"#, "pairs is empty"),
        ] {
            let error = evaluate(config, &["a", "b"]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
