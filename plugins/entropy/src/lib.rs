//! Entropy, for diversity: U(ν) = w/m Σ_i H(ν_i). An answer earns −w log ν_i(z).
//!
//! With a KL penalty of weight β to the reference policy's ν₀, the equilibrium is ν ∝ ν₀^{β/(β+w)}: the reference
//! distribution, flattened. Source: Mohri, Schneider, Wu, arXiv 2604.27166.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// No configuration. The weight w is set in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Entropy {}

impl Plugin for Entropy {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Rewards an answer by its surprisal, −log ν.") }
    }
}

impl Objective for Entropy {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        Ok(Valuation {
            utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.surprisal).sum()),
            rewards: bundle.rewards(|_, answer| answer.surprisal),
            violation: None,
        })
    }
}

export!(Entropy: Objective);

#[cfg(test)]
alft_conformance::conformance!(Entropy: Objective);
