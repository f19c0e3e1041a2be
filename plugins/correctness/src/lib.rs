//! Correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩. An answer earns w r(z), where r is a table of answers, or 1 for the answer whose
//! key is the prompt's gold answer.
//!
//! With a KL penalty of weight β to the reference policy's ν₀, the equilibrium is ν ∝ ν₀ exp(w r/β). Source: Mohri,
//! Schneider, Wu, arXiv 2604.27166.

use std::collections::BTreeMap;

use alft_sdk::serde::Deserialize;
use alft_sdk::{Error, Manifest, Plugin, Prompt, Result, Verifier, export, manifest};

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Correctness {
    /// Score of each answer key; 0 for an answer that is not in the table. Without a table the gold answer scores 1.
    #[serde(default)]
    pub reward: Option<BTreeMap<String, f64>>,
}

impl Plugin for Correctness {
    fn manifest(&self) -> Manifest {
        let scores = || self.reward.iter().flat_map(BTreeMap::values).copied();
        let range = match self.reward {
            Some(_) => (scores().fold(0.0, f64::min), scores().fold(0.0, f64::max)),
            None => (0.0, 1.0),
        };
        Manifest {
            score_range: Some(range),
            ..manifest!("Scores an answer by a table, or by the prompt's gold answer.")
        }
    }

    fn check(&self) -> Result<()> {
        let Some(reward) = &self.reward else { return Ok(()) };
        if reward.is_empty() {
            return Err(
                "reward is empty; add an answer, or leave it out to compare with the prompt's gold answer".into()
            );
        }
        match reward.iter().find(|(_, score)| !score.is_finite()) {
            Some((key, score)) => Err(format!("reward.\"{key}\" is {score}; it must be finite").into()),
            None => Ok(()),
        }
    }
}

impl Verifier for Correctness {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        if let Some(reward) = &self.reward {
            return Ok(reward.get(answer).copied().unwrap_or(0.0));
        }
        let missing = || {
            Error::new(format!(
                "prompt {} has no gold answer; add the key `gold` to it, or a table `reward` to the plugin",
                prompt.id
            ))
        };
        Ok(if prompt.gold.as_ref().ok_or_else(missing)? == answer { 1.0 } else { 0.0 })
    }
}

export!(Correctness: Verifier);

#[cfg(test)]
alft_conformance::conformance!(Correctness: Verifier);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::call::PromptTexts;
    use alft_sdk::{dispatch, roles};

    fn score(config: &str, gold: Option<&str>) -> Result<Vec<f64>> {
        let prompt = Prompt { id: "q".into(), gold: gold.map(Into::into), ..Prompt::default() };
        let texts = ["a", "b", "c"].map(Into::into).into();
        Ok(dispatch::call::<Correctness, roles::Score>(config, &[PromptTexts { prompt, texts }])?.remove(0))
    }

    #[test]
    fn the_table_or_the_gold_answer_sets_the_scores() {
        let table = r#"{"reward": {"a": 2.5, "b": -1}}"#;
        assert_eq!(score(table, Some("c")).unwrap(), [2.5, -1.0, 0.0]);
        assert_eq!(dispatch::describe::<Correctness>(table).unwrap().score_range, Some((-1.0, 2.5)));
        assert_eq!(score("{}", Some("c")).unwrap(), [0.0, 0.0, 1.0]);
        assert_eq!(dispatch::describe::<Correctness>("{}").unwrap().score_range, Some((0.0, 1.0)));
    }

    #[test]
    fn without_either_there_is_an_error() {
        assert!(score("{}", None).unwrap_err().to_string().contains("prompt q has no gold answer"));
        assert!(score(r#"{"reward": {}}"#, Some("c")).unwrap_err().to_string().contains("reward is empty"));
    }
}
