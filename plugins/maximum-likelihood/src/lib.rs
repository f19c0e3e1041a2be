//! Maximum likelihood of a right answer: U(ν) = w/m Σ_i log p_i with p_i = ⟨r, ν_i⟩ and r ≥ 0. An answer earns w r(z)/p_i,
//! so a right answer earns more the rarer right answers are.
//!
//! From samples, p is the mean of r over the group, where completions without an answer count as 0. With a group baseline
//! the advantage is (r − p)/p, as in Tajwar, Zeng et al., *Maximum Likelihood Reinforcement Learning*, arXiv 2602.02710. A
//! group without a right answer earns 0, and its utility is that of half a sample with r = 1: log 1/(2K).

use std::collections::BTreeMap;

use alft_sdk::answer_values::{self, AnswerValues};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest, math};

/// The plugin's table in the run file: r of answers, from a table or from a verifier.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct MaximumLikelihood {
    /// r of each answer key, at least 0; 0 for an answer that is not in the table.
    #[serde(default)]
    pub reward: BTreeMap<String, f64>,
    /// Name of the verifier whose score is r. Its scores must be at least 0.
    #[serde(default)]
    pub verifier: Option<String>,
}

impl Plugin for MaximumLikelihood {
    fn manifest(&self) -> Manifest {
        Manifest { concave: true, gradient: true, ..manifest!("Raises the log-probability of a right answer.") }
    }

    fn check(&self) -> Result<()> {
        answer_values::check("reward", &self.reward, self.verifier.as_deref())?;
        match self.reward.iter().find(|(_, reward)| **reward < 0.0) {
            Some((key, reward)) => Err(format!("reward.\"{key}\" is {reward}; it must be at least 0").into()),
            None => Ok(()),
        }
    }
}

impl Objective for MaximumLikelihood {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let values = AnswerValues::find(&self.reward, self.verifier.as_deref(), bundle)?;
        let valued = bundle.groups.iter().map(|group| value(group, values));
        let (utilities, rewards) = valued.collect::<Result<(Vec<f64>, Vec<_>)>>()?;
        let utility = utilities.iter().sum::<f64>() / bundle.groups.len() as f64;
        Ok(Valuation { utility, rewards, violation: None })
    }
}

/// Returns a group's utility and rewards.
fn value(group: &Group, values: AnswerValues<'_>) -> Result<(f64, Vec<f64>)> {
    let id = &group.prompt.id;
    if let Some(answer) = group.answers.iter().find(|answer| values.of(answer) < 0.0) {
        let (key, score) = (&answer.key, values.of(answer));
        return Err(format!(
            "prompt {id}: answer \"{key}\" has the score {score}; set `verifier` to one whose scores are at least 0"
        )
        .into());
    }
    let p: f64 = group.answers.iter().map(|answer| answer.frequency * values.of(answer)).sum();
    if p > 0.0 {
        return Ok((math::ln(p), group.answers.iter().map(|answer| values.of(answer) / p).collect()));
    }
    // If probabilities are exact, p is 0: the smallest positive number stands in for it, to keep the utility finite.
    let least = if group.size == 0 { f64::MIN_POSITIVE } else { 0.5 / f64::from(group.size) };
    Ok((math::ln(least), vec![0.0; group.answers.len()]))
}

export!(MaximumLikelihood: Objective);

#[cfg(test)]
alft_conformance::conformance!(MaximumLikelihood: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;
    use alft_sdk::{dispatch, roles};

    fn evaluate(rewards: &[Option<f64>]) -> Valuation {
        let keys: Vec<_> = rewards.iter().map(|reward| reward.map(|reward| reward.to_string())).collect();
        let bundle = Bundle::sampled("x", &[Samples { prompt: &Prompt::default(), keys: &keys }], &PlugIn);
        let reward = rewards.iter().flatten().map(|reward| (reward.to_string(), *reward)).collect();
        MaximumLikelihood { reward, verifier: None }.evaluate(&bundle).unwrap()
    }

    /// The expected values come from the paper's formula: `max_rl` are the advantages of a group of `rewards`.
    #[test]
    fn rewards_less_their_mean_are_the_papers_advantages() {
        #[derive(Deserialize)]
        #[serde(crate = "alft_sdk::serde")]
        struct Case {
            rewards: Vec<f64>,
            max_rl: Vec<f64>,
        }
        let cases = include_str!("../../pass-at-k/tests/data/group_objectives.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 36);
        for Case { rewards, max_rl } in cases {
            let samples: Vec<_> = rewards.iter().copied().map(Some).collect();
            let valuation = evaluate(&samples);
            let mut keys: Vec<String> = rewards.iter().map(f64::to_string).collect();
            keys.sort();
            keys.dedup();
            let earned = |reward: &f64| valuation.rewards[0][keys.binary_search(&reward.to_string()).unwrap()];
            let mean = rewards.iter().map(earned).sum::<f64>() / rewards.len() as f64;
            for (reward, advantage) in rewards.iter().zip(max_rl) {
                assert!((earned(reward) - mean - advantage).abs() < 1e-12, "{reward} of {rewards:?}");
            }
        }
    }

    #[test]
    fn completions_without_an_answer_count_as_wrong() {
        let valuation = evaluate(&[Some(1.0), None, None, Some(0.0)]);
        assert_eq!((valuation.utility, valuation.rewards), (math::ln(0.25), vec![vec![0.0, 4.0]]));
    }

    #[test]
    fn a_group_without_a_right_answer_earns_0_and_has_a_finite_utility() {
        let wrong = evaluate(&[Some(0.0), Some(0.0)]);
        assert_eq!((wrong.utility, wrong.rewards), (math::ln(0.25), vec![vec![0.0]]));
        let exact = Bundle::exact("x", &[(&Prompt::default(), &BTreeMap::from([("a", 1.0)]))]);
        let valuation =
            &dispatch::call::<MaximumLikelihood, roles::Evaluate>(r#"{"reward": {"b": 1}}"#, &[exact]).unwrap()[0];
        assert!(valuation.utility.is_finite() && valuation.rewards == [[0.0]]);
        assert!(dispatch::describe::<MaximumLikelihood>(r#"{"reward": {"b": -1}}"#).is_err());
    }
}
