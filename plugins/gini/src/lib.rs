//! Gini, for diversity: U(ν) = w/m Σ_i (1 − Σ_z ν_i(z)²). An answer earns −2w ν_i(z).
//!
//! From samples both are unbiased: the reward uses the share of the other samples that gave the answer, and the sum of
//! (n/K)·(n − 1)/(K − 1) over answers is the U-statistic of Σ ν². Source: Mohri, Schneider, Zhong, arXiv 2605.02435.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// No configuration. The weight w is set in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Gini {}

impl Plugin for Gini {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Penalises an answer by twice its probability, −2ν.") }
    }
}

impl Objective for Gini {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        Ok(Valuation {
            utility: bundle
                .mean(|group| 1.0 - group.answers.iter().map(|a| a.frequency * a.leave_one_out).sum::<f64>()),
            rewards: bundle.rewards(|_, answer| -2.0 * answer.leave_one_out),
            violation: None,
        })
    }
}

export!(Gini: Objective);

#[cfg(test)]
alft_conformance::conformance!(Gini: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;

    #[test]
    fn a_common_answer_earns_less_than_a_rare_one() {
        let keys = ["a", "a", "a", "b"].map(|key| Some(key.to_owned()));
        let prompt = Default::default();
        let bundle = Bundle::sampled("x", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
        let valuation = Gini {}.evaluate(&bundle).unwrap();
        assert_eq!(valuation.rewards, [[-4.0 / 3.0, 0.0]]);
        assert!((valuation.utility - 0.5).abs() < 1e-15, "3 of 6 pairs of samples agree");
    }
}
