//! Parity across prompts, for fairness: the attributes of answers have equal shares at all prompts of a bundle, without a
//! target for the shares. With a#ν_i the distribution of the attribute a(z) at prompt i and s̄ the mean of these,
//! U(ν) = −w/m Σ_i KL(a#ν_i‖s̄) = −w·JSD. An answer earns w log(s̄(a(z))/a#ν_i(a(z))).
//!
//! From samples, shares are plug-in estimates. Source of the game: Mohri, Schneider, Wu, arXiv 2604.27166.

use std::collections::BTreeMap;

use alft_sdk::attribute::{self, Attributes, LogShares};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Parity {
    /// a: the attribute of each answer key.
    pub attribute: BTreeMap<String, String>,
    /// Attribute of answers that are not in the table.
    #[serde(default = "other")]
    pub other: String,
}

fn other() -> String {
    "other".into()
}

impl Plugin for Parity {
    fn manifest(&self) -> Manifest {
        let summary = "Pulls the prompts of a bundle to equal shares of answers' attributes.";
        Manifest { concave: true, gradient: true, ..manifest!(summary) }
    }

    fn check(&self) -> Result<()> {
        self.attributes().check()
    }
}

impl Objective for Parity {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let attributes = self.attributes();
        let shares: Vec<LogShares<'_>> = bundle.groups.iter().map(|group| attributes.log_shares(group)).collect();
        let mean = attribute::log_mean(&shares);
        let mut utility = 0.0;
        let mut rewards = Vec::new();
        for (group, own) in bundle.groups.iter().zip(&shares) {
            let reward = |answer| mean[attributes.of(answer)] - own[attributes.of(answer)];
            utility += group.answers.iter().map(|a| a.frequency * reward(a)).sum::<f64>() / bundle.groups.len() as f64;
            rewards.push(group.answers.iter().map(reward).collect());
        }
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl Parity {
    fn attributes(&self) -> Attributes<'_> {
        Attributes { table: &self.attribute, other: &self.other }
    }
}

export!(Parity: Objective);

#[cfg(test)]
alft_conformance::conformance!(Parity: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;
    use alft_sdk::{dispatch, roles};

    fn evaluate(groups: &[&str]) -> Valuation {
        let prompt = Prompt::default();
        let keys: Vec<Vec<_>> = groups.iter().map(|g| g.chars().map(|key| Some(key.to_string())).collect()).collect();
        let samples: Vec<_> = keys.iter().map(|keys| Samples { prompt: &prompt, keys }).collect();
        let config = r#"{"attribute": {"a": "p", "b": "p"}}"#;
        dispatch::call::<Parity, roles::Evaluate>(config, &[Bundle::sampled("b", &samples, &PlugIn)]).unwrap().remove(0)
    }

    #[test]
    fn different_answers_with_equal_attributes_are_at_parity() {
        assert_eq!(evaluate(&["axax", "bybz"]).utility, 0.0);
        let apart = evaluate(&["ab", "xy"]);
        assert!((apart.utility + 2f64.ln()).abs() < 1e-15, "no shared attribute: JSD = log 2");
    }

    #[test]
    fn an_attribute_that_is_commoner_at_other_prompts_earns_more() {
        let rewards = evaluate(&["abxy", "abax"]).rewards;
        assert!(rewards[0][0] > rewards[0][2] && rewards[0][0] == rewards[0][1], "{rewards:?}");
        assert!(rewards[1][0] < rewards[1][2], "{rewards:?}");
    }

    #[test]
    fn an_empty_table_is_refused() {
        let error = dispatch::describe::<Parity>(r#"{"attribute": {}}"#).unwrap_err().to_string();
        assert!(error.contains("attribute is empty"), "{error}");
    }
}
