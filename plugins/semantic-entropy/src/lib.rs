//! Semantic entropy minimisation: an answer earns w ν_i(z), the share of its group that agrees with it. The utility shown
//! is the expected reward, 1/m Σ_i Σ_z ν_i(z)².
//!
//! A heuristic: Σ ν² is convex and the reward is half its gradient, so the game has no equilibrium to speak of and
//! training goes wherever its start leans. Source: Zhang et al., *Right Question is Already Half the Answer* (EMPO),
//! arXiv 2504.05812.

use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// Nothing to configure: the weight is the run file's.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticEntropy {}

impl Plugin for SemanticEntropy {
    fn manifest(&self) -> Manifest {
        manifest!("Rewards answers by how common they are: a heuristic without an equilibrium.")
    }
}

impl Objective for SemanticEntropy {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        Ok(Valuation {
            utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.frequency).sum()),
            rewards: bundle.rewards(|_, answer| answer.frequency),
            violation: None,
        })
    }
}

export!(SemanticEntropy: Objective);
alft_sdk::conformance!(SemanticEntropy: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::estimate::PlugIn;

    #[test]
    fn a_common_answer_earns_its_share() {
        let keys = ["a", "a", "b", ""].map(|key| (!key.is_empty()).then(|| key.to_owned()));
        let bundle = Bundle::sampled("x", &[Samples { prompt: &Prompt::default(), keys: &keys }], &PlugIn);
        let valuation = SemanticEntropy {}.evaluate(&bundle).unwrap();
        assert_eq!((valuation.utility, valuation.rewards), (0.3125, vec![vec![0.5, 0.25]]));
    }
}
