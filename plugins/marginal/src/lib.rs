//! Target shares of answers' attributes, for fairness. With a#ν_i the distribution of the attribute a(z) and τ the target
//! distribution, U(ν) = −w/m Σ_i KL(a#ν_i‖τ). An answer earns w log(τ(a(z))/a#ν_i(a(z))). Within an attribute, the shares
//! of answers follow the reference policy.
//!
//! From samples, shares are plug-in estimates. Source of the game: Mohri, Schneider, Wu, arXiv 2604.27166.

use std::collections::BTreeMap;

use alft_sdk::attribute::Attributes;
use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Marginal {
    /// a: the attribute of each answer key.
    pub attribute: BTreeMap<String, String>,
    /// Attribute of answers that are not in the table. It needs a share only if the policy gives such answers.
    #[serde(default = "other")]
    pub other: String,
    /// τ: the target share of each attribute. The shares sum to at most 1.
    pub target: BTreeMap<String, f64>,
}

fn other() -> String {
    "other".into()
}

impl Plugin for Marginal {
    fn manifest(&self) -> Manifest {
        let summary = "Pulls the shares of answers' attributes to target shares.";
        Manifest { concave: true, gradient: true, ..manifest!(summary) }
    }

    fn check(&self) -> Result<()> {
        self.attributes().check()?;
        if let Some((name, share)) = self.target.iter().find(|(_, share)| !(**share > 0.0 && **share <= 1.0)) {
            return Err(format!("target.\"{name}\" is {share}; it must be above 0 and at most 1").into());
        }
        let total: f64 = self.target.values().sum();
        if total > 1.0 + 1e-9 {
            return Err(format!("target sums to {total}; the sum must be at most 1").into());
        }
        match self.attribute.iter().find(|(_, name)| !self.target.contains_key(*name)) {
            Some((key, name)) => {
                Err(format!("attribute.\"{key}\" is \"{name}\", which has no share in target; add one").into())
            }
            None => Ok(()),
        }
    }
}

impl Objective for Marginal {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let rewards = bundle.groups.iter().map(|group| self.rewards(group)).collect::<Result<Vec<_>>>()?;
        let values = bundle.groups.iter().zip(&rewards).map(|(group, rewards)| {
            group.answers.iter().zip(rewards).map(|(answer, reward)| answer.frequency * reward).sum::<f64>()
        });
        let utility = values.sum::<f64>() / bundle.groups.len() as f64;
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl Marginal {
    fn attributes(&self) -> Attributes<'_> {
        Attributes { table: &self.attribute, other: &self.other }
    }

    fn rewards(&self, group: &Group) -> Result<Vec<f64>> {
        let shares = self.attributes().log_shares(group);
        let reward = |answer| {
            let name = self.attributes().of(answer);
            let wanted = self.target.get(name).ok_or_else(|| {
                format!(
                    "prompt {}: answer \"{}\" is \"{name}\", which has no share in target; add the answer to \
                     attribute, or a share of \"{name}\" to target",
                    group.prompt.id, answer.key
                )
            })?;
            Ok(math::ln(*wanted) - shares[name])
        };
        group.answers.iter().map(reward).collect()
    }
}

export!(Marginal: Objective);

#[cfg(test)]
alft_conformance::conformance!(Marginal: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;
    use alft_sdk::{dispatch, roles};

    fn evaluate(config: &str, keys: &str) -> Result<Valuation> {
        let keys: Vec<_> = keys.chars().map(|key| Some(key.to_string())).collect();
        let prompt = Prompt { id: "q".into(), ..Prompt::default() };
        let bundle = Bundle::sampled("b", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
        Ok(dispatch::call::<Marginal, roles::Evaluate>(config, &[bundle])?.remove(0))
    }

    #[test]
    fn answers_of_one_attribute_earn_the_same_and_0_at_the_target() {
        let config = r#"{"attribute": {"a": "p", "b": "p", "c": "q"}, "target": {"p": 0.75, "q": 0.25}}"#;
        let there = evaluate(config, "aabc").unwrap();
        assert_eq!((there.utility, there.rewards), (0.0, vec![vec![0.0; 3]]));
        let away = evaluate(config, "abcc").unwrap();
        assert!(away.utility < 0.0);
        assert!(away.rewards[0][0] == away.rewards[0][1] && away.rewards[0][0] > away.rewards[0][2], "q is too common");
    }

    #[test]
    fn answers_outside_the_table_need_a_share() {
        let error = evaluate(r#"{"attribute": {"a": "p"}, "target": {"p": 0.5}}"#, "ax").unwrap_err().to_string();
        assert!(error.contains(r#"prompt q: answer "x" is "other", which has no share in target"#), "{error}");
        let config = r#"{"attribute": {"a": "p"}, "other": "rest", "target": {"p": 0.5, "rest": 0.5}}"#;
        assert_eq!(evaluate(config, "ax").unwrap().utility, 0.0);
    }

    #[test]
    fn invalid_shares_are_refused_by_name() {
        for (config, words) in [
            (r#"{"attribute": {"a": "p"}, "target": {"q": 1}}"#, r#""a" is "p", which has no share"#),
            (r#"{"attribute": {"a": "p"}, "target": {"p": 0}}"#, r#"target."p" is 0"#),
            (r#"{"attribute": {"a": "p"}, "target": {"p": 0.7, "q": 0.7}}"#, "sums to 1.4"),
            (r#"{"attribute": {}, "target": {"p": 1}}"#, "attribute is empty"),
        ] {
            let error = dispatch::describe::<Marginal>(config).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
