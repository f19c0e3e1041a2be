//! A target distribution q of answers: U(ν) = −w/m Σ_i KL(ν_i‖q). An answer earns w log(q(z)/ν_i(z)).
//!
//! With a KL penalty of weight β to the reference policy's ν₀, the equilibrium is ν ∝ ν₀^{β/(β+w)} q^{w/(β+w)}. Source: Mohri, Schneider, Wu, arXiv 2604.27166.

use std::collections::BTreeMap;

use alft_sdk::serde::Deserialize;
use alft_sdk::{Answer, Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Target {
    /// q of each answer key. The probabilities sum to at most 1.
    pub target: BTreeMap<String, f64>,
    /// q of an answer that is not in the table. It must be positive, since log q must be finite.
    #[serde(default = "unlisted")]
    pub unlisted: f64,
}

fn unlisted() -> f64 {
    1e-6
}

impl Plugin for Target {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Pulls the answers to a target distribution.") }
    }

    fn check(&self) -> Result<()> {
        let positive = |p: f64| p.is_finite() && p > 0.0 && p <= 1.0;
        if let Some((key, p)) = self.target.iter().find(|(_, p)| !positive(**p)) {
            return Err(format!("target.\"{key}\" is {p}; it must be above 0 and at most 1").into());
        }
        let total: f64 = self.target.values().sum();
        if self.target.is_empty() || total > 1.0 + 1e-9 {
            return Err(format!("target sums to {total}; add at least one answer, with a sum of at most 1").into());
        }
        if !positive(self.unlisted) {
            return Err(format!("unlisted is {}; it must be above 0 and at most 1", self.unlisted).into());
        }
        Ok(())
    }
}

impl Objective for Target {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let log_ratio = |a: &Answer| math::ln(self.target.get(&a.key).copied().unwrap_or(self.unlisted)) + a.surprisal;
        Ok(Valuation {
            utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * log_ratio(a)).sum()),
            rewards: bundle.rewards(|_, answer| log_ratio(answer)),
            violation: None,
        })
    }
}

export!(Target: Objective);

#[cfg(test)]
alft_conformance::conformance!(Target: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;
    use alft_sdk::{dispatch, roles};

    #[test]
    fn the_utility_is_0_and_rewards_are_equal_at_the_target() {
        let keys = ["a", "a", "a", "b"].map(|key| Some(key.to_owned()));
        let samples = [Samples { prompt: &Prompt::default(), keys: &keys }];
        let bundle = Bundle::sampled("x", &samples, &PlugIn);
        let config = r#"{"target": {"a": 0.75, "b": 0.25}}"#;
        let valuation = &dispatch::call::<Target, roles::Evaluate>(config, &[bundle]).unwrap()[0];
        assert!(valuation.utility.abs() < 1e-15);
        assert!((valuation.rewards[0][0] - valuation.rewards[0][1]).abs() < 1e-15);
    }

    #[test]
    fn impossible_probabilities_are_refused_by_name() {
        let error = dispatch::describe::<Target>(r#"{"target": {"a": -0.5}}"#).unwrap_err().to_string();
        assert!(error.contains("target.\"a\" is -0.5"), "{error}");
        assert!(dispatch::describe::<Target>(r#"{"target": {"a": 0.7, "b": 0.7}}"#).is_err());
        assert!(dispatch::describe::<Target>("{}").is_err());
    }
}
