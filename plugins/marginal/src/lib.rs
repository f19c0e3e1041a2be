//! Wanted shares of answers' attributes, for fairness: with a#ν_i the distribution of the attribute a(z) and τ the wanted
//! one, U(ν) = −w/m Σ_i KL(a#ν_i‖τ), so an answer earns w log(τ(a(z))/a#ν_i(a(z))). How answers share an attribute's part
//! is left to the reference policy.
//!
//! From samples shares are plugged in. The game that it is played in: Mohri, Schneider, Wu, arXiv 2604.27166.

use std::collections::BTreeMap;

use alft_sdk::attribute::Attributes;
use alft_sdk::{Bundle, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// The plugin's table in the run file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marginal {
    /// a: answer key to attribute.
    pub attribute: BTreeMap<String, String>,
    /// The attribute of answers that are not listed; it needs a share only if they are given.
    #[serde(default = "other")]
    pub other: String,
    /// τ: attribute to wanted share. They sum to at most 1.
    pub target: BTreeMap<String, f64>,
}

fn other() -> String {
    "other".into()
}

impl Plugin for Marginal {
    fn manifest(&self) -> Manifest {
        let summary = "Draws the shares of answers' attributes to wanted ones.";
        Manifest { concave: true, gradient: true, ..manifest!(summary) }
    }

    fn check(&self) -> Result<()> {
        self.attributes().check()?;
        if let Some((name, share)) = self.target.iter().find(|(_, share)| !(**share > 0.0 && **share <= 1.0)) {
            return Err(format!("target: \"{name}\" has {share}; each must be above 0 and at most 1").into());
        }
        let total: f64 = self.target.values().sum();
        if total > 1.0 + 1e-9 {
            return Err(format!("target sums to {total}; the shares are at most 1 in all").into());
        }
        match self.attribute.iter().find(|(_, name)| !self.target.contains_key(*name)) {
            Some((key, name)) => {
                Err(format!("attribute: \"{key}\" is \"{name}\", which has no share in target; give it one").into())
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
                    "prompt {}: answer \"{}\" is \"{name}\", which has no share in target; list the answer in \
                     attribute, or give \"{name}\" a share",
                    group.prompt.id, answer.key
                )
            })?;
            Ok(math::ln(*wanted) - shares[name])
        };
        group.answers.iter().map(reward).collect()
    }
}

export!(Marginal: Objective);
alft_sdk::conformance!(Marginal: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::{Prompt, Samples};
    use alft_sdk::dispatch;
    use alft_sdk::estimate::PlugIn;

    fn evaluate(config: &str, keys: &str) -> Result<Valuation> {
        let keys: Vec<_> = keys.chars().map(|key| Some(key.to_string())).collect();
        let prompt = Prompt { id: "q".into(), ..Prompt::default() };
        let bundle = Bundle::sampled("b", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
        Ok(dispatch::evaluate::<Marginal>(config, &[bundle])?.remove(0))
    }

    #[test]
    fn answers_of_one_attribute_earn_alike_and_nothing_at_the_wanted_shares() {
        let config = r#"{"attribute": {"a": "p", "b": "p", "c": "q"}, "target": {"p": 0.75, "q": 0.25}}"#;
        let there = evaluate(config, "aabc").unwrap();
        assert_eq!((there.utility, there.rewards), (0.0, vec![vec![0.0; 3]]));
        let away = evaluate(config, "abcc").unwrap();
        assert!(away.utility < 0.0);
        assert!(away.rewards[0][0] == away.rewards[0][1] && away.rewards[0][0] > away.rewards[0][2], "q is too common");
    }

    #[test]
    fn answers_that_are_not_listed_need_a_share_of_their_own() {
        let error = evaluate(r#"{"attribute": {"a": "p"}, "target": {"p": 0.5}}"#, "ax").unwrap_err().to_string();
        assert!(error.contains(r#"prompt q: answer "x" is "other", which has no share in target"#), "{error}");
        let config = r#"{"attribute": {"a": "p"}, "other": "rest", "target": {"p": 0.5, "rest": 0.5}}"#;
        assert_eq!(evaluate(config, "ax").unwrap().utility, 0.0);
    }

    #[test]
    fn shares_that_are_none_are_refused_by_name() {
        for (config, words) in [
            (r#"{"attribute": {"a": "p"}, "target": {"q": 1}}"#, r#""a" is "p", which has no share"#),
            (r#"{"attribute": {"a": "p"}, "target": {"p": 0}}"#, r#""p" has 0"#),
            (r#"{"attribute": {"a": "p"}, "target": {"p": 0.7, "q": 0.7}}"#, "sums to 1.4"),
            (r#"{"attribute": {}, "target": {"p": 1}}"#, "attribute is empty"),
        ] {
            let error = dispatch::describe::<Marginal>(config).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
