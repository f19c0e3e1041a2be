//! Entropy, for diversity: U(ν) = w/m Σ_i H(ν_i), so an answer earns −w log ν_i(z).
//!
//! At the game's equilibrium with the price β of leaving the reference ν₀, ν ∝ ν₀^{β/(β+w)}: the reference's answers,
//! flattened. Source: Mohri, Schneider, Wu, arXiv 2604.27166.

use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// Nothing to configure: the weight is the run file's.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entropy {}

impl Plugin for Entropy {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Rewards answers by how rare they are: −log ν.") }
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
alft_sdk::conformance!(Entropy: Objective);
