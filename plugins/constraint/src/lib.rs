//! A limit on the expected cost of answers, for safety: (1/m) Σ_i ⟨c, ν_i⟩ ≤ δ.
//!
//! The host keeps a multiplier μ ≥ 0 and raises it while the limit is exceeded (dual ascent). An answer earns −μ c(z). The
//! utility is the Lagrangian's term −μ(cost − δ), since the indicator of the constraint is not finite outside the limit.
//! At the equilibrium ν ∝ ν₀ exp(−μ* c/β) and μ*(cost − δ) = 0.

use std::collections::BTreeMap;

use alft_sdk::answer_values::{self, AnswerValues};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// The plugin's table in the run file: the cost of answers, from a table or from a verifier.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Constraint {
    /// Cost of each answer key; 0 for an answer that is not in the table.
    #[serde(default)]
    pub cost: BTreeMap<String, f64>,
    /// Name of the verifier whose score is the cost.
    #[serde(default)]
    pub verifier: Option<String>,
    /// δ: the highest expected cost.
    pub limit: f64,
}

impl Plugin for Constraint {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Keeps the expected cost of answers within a limit.") }
    }

    fn check(&self) -> Result<()> {
        answer_values::check("cost", &self.cost, self.verifier.as_deref())?;
        if !self.limit.is_finite() {
            return Err(format!("limit is {}; it must be finite", self.limit).into());
        }
        Ok(())
    }
}

impl Objective for Constraint {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let cost = AnswerValues::find(&self.cost, self.verifier.as_deref(), bundle)?;
        let expected = bundle.mean(|group| group.answers.iter().map(|a| a.frequency * cost.of(a)).sum());
        let violation = expected - self.limit;
        Ok(Valuation {
            utility: -bundle.multiplier * violation,
            rewards: bundle.rewards(|_, answer| -bundle.multiplier * cost.of(answer)),
            violation: Some(violation),
        })
    }
}

export!(Constraint: Objective);

#[cfg(test)]
alft_conformance::conformance!(Constraint: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;
    use alft_sdk::{dispatch, roles};

    fn bundle() -> Bundle {
        let keys = ["bad", "good", "good", "good"].map(|key| Some(key.to_owned()));
        let samples = [Samples { prompt: &Prompt::default(), keys: &keys }];
        Bundle { multiplier: 2.0, ..Bundle::sampled("x", &samples, &PlugIn) }
    }

    #[test]
    fn the_costly_answer_pays_the_multiplier() {
        let config = r#"{"cost": {"bad": 1.0}, "limit": 0.1}"#;
        let valuation = &dispatch::call::<Constraint, roles::Evaluate>(config, &[bundle()]).unwrap()[0];
        assert_eq!(valuation.rewards, [[-2.0, 0.0]]);
        assert!((valuation.violation.unwrap() - 0.15).abs() < 1e-15);
    }

    #[test]
    fn a_verifiers_score_can_be_the_cost() {
        let mut bundle = bundle();
        bundle.verifiers = vec!["safety".into()];
        bundle.groups[0].answers.iter_mut().zip([0.5, 0.0]).for_each(|(a, cost)| a.scores = vec![cost]);
        let config = r#"{"verifier": "safety", "limit": 0.1}"#;
        assert_eq!(
            dispatch::call::<Constraint, roles::Evaluate>(config, &[bundle.clone()]).unwrap()[0].rewards,
            [[-1.0, 0.0]]
        );
        let error = dispatch::call::<Constraint, roles::Evaluate>(r#"{"verifier": "safty", "limit": 0}"#, &[bundle])
            .unwrap_err();
        assert!(error.to_string().contains("its verifiers are: safety"), "{error}");
    }
}
