//! Semantic entropy minimisation: an answer earns w ν_i(z), its share of the group. The utility is the expected reward,
//! 1/m Σ_i Σ_z ν_i(z)².
//!
//! A heuristic: Σ ν² is convex and the reward is half its gradient, so an equilibrium is not unique, and training amplifies
//! the initial majority. Source: Zhang et al., *Right Question is Already Half the Answer* (EMPO),
//! arXiv 2504.05812.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// No configuration. The weight w is set in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct SemanticEntropy {}

impl Plugin for SemanticEntropy {
    fn manifest(&self) -> Manifest {
        manifest!("Rewards an answer by its share. A heuristic: the utility is not concave.")
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

#[cfg(test)]
alft_conformance::conformance!(SemanticEntropy: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;

    #[test]
    fn a_common_answer_earns_its_share() {
        let keys = ["a", "a", "b", ""].map(|key| (!key.is_empty()).then(|| key.to_owned()));
        let bundle = Bundle::sampled("x", &[Samples { prompt: &Prompt::default(), keys: &keys }], &PlugIn);
        let valuation = SemanticEntropy {}.evaluate(&bundle).unwrap();
        assert_eq!((valuation.utility, valuation.rewards), (0.3125, vec![vec![0.5, 0.25]]));
    }
}
