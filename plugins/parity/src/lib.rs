//! Parity across prompts, for fairness: prompts that should be treated alike (a bundle) get the attributes of their
//! answers in like shares, whichever these are. With a#ν_i the distribution of the attribute a(z) at prompt i and s̄ the
//! mean of them, U(ν) = −w/m Σ_i KL(a#ν_i‖s̄) = −w·JSD, so an answer earns w log(s̄(a(z))/a#ν_i(a(z))).
//!
//! From samples shares are plugged in. The game that it is played in: Mohri, Schneider, Wu, arXiv 2604.27166.

use std::collections::BTreeMap;

use alft_sdk::attribute::{self, Attributes, LogShares};
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// The plugin's table in the run file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// a: answer key to attribute.
    pub attribute: BTreeMap<String, String>,
    /// The attribute of answers that are not listed.
    #[serde(default = "other")]
    pub other: String,
}

fn other() -> String {
    "other".into()
}

impl Plugin for Parity {
    fn manifest(&self) -> Manifest {
        let summary = "Draws the prompts of a bundle to equal shares of answers' attributes.";
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
alft_sdk::conformance!(Parity: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::dispatch;
    use alft_sdk::estimate::PlugIn;

    fn evaluate(groups: &[&str]) -> Valuation {
        let prompt = Prompt::default();
        let keys: Vec<Vec<_>> = groups.iter().map(|g| g.chars().map(|key| Some(key.to_string())).collect()).collect();
        let samples: Vec<_> = keys.iter().map(|keys| Samples { prompt: &prompt, keys }).collect();
        let config = r#"{"attribute": {"a": "p", "b": "p"}}"#;
        dispatch::evaluate::<Parity>(config, &[Bundle::sampled("b", &samples, &PlugIn)]).unwrap().remove(0)
    }

    #[test]
    fn different_answers_of_like_attributes_are_parity() {
        assert_eq!(evaluate(&["axax", "bybz"]).utility, 0.0);
        let apart = evaluate(&["ab", "xy"]);
        assert!((apart.utility + 2f64.ln()).abs() < 1e-15, "no attribute in common: JSD = log 2");
    }

    #[test]
    fn the_attribute_that_the_others_have_more_of_earns_more() {
        let rewards = evaluate(&["abxy", "abax"]).rewards;
        assert!(rewards[0][0] > rewards[0][2] && rewards[0][0] == rewards[0][1], "{rewards:?}");
        assert!(rewards[1][0] < rewards[1][2], "{rewards:?}");
    }

    #[test]
    fn a_table_that_tells_nothing_apart_is_refused() {
        let error = dispatch::describe::<Parity>(r#"{"attribute": {}}"#).unwrap_err().to_string();
        assert!(error.contains("attribute is empty"), "{error}");
    }
}
