//! OpenRLHF's remote reward model: full texts, prompts and labels in lists, and a reward for each.
//!
//! Several servers get the same request, the first one with the samples and the others with empty lists, which have empty
//! answers. The format has no place for a sample that a plugin failed on: such a request is refused, so that a failure is
//! never a number.

use std::collections::BTreeMap;

use alft_runtime::data::{AnsweredQuestion, AnsweredQuestions};
use alft_runtime::record::ScoreLine;
use alft_runtime::rollout::Rollout;
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::refusal::Refusal;

/// Samples as OpenRLHF sends them.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Samples {
    /// Prompts with their completions, as texts.
    query: Vec<String>,
    /// The prompts.
    prompts: Vec<String>,
    /// The right answers.
    #[serde(default)]
    #[schema(value_type = Vec<Option<String>>)]
    labels: Vec<Value>,
}

/// Rewards as OpenRLHF reads them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rewards {
    /// Weighted sums of the plugins' scores: advantages are made from them.
    rewards: Vec<f64>,
    /// The first verifier's scores, or the rewards where there is none: dynamic filtering goes by them.
    scores: Vec<f64>,
    /// By plugin, its unweighted scores; null where it was not asked.
    #[schema(value_type = std::collections::HashMap<String, Vec<Option<f64>>>)]
    extra_logs: BTreeMap<String, Vec<Value>>,
}

impl Samples {
    pub(crate) fn is_empty(&self) -> bool {
        self.query.is_empty()
    }

    /// The samples as questions. Those with the same prompt and label after each other are one group.
    pub(crate) fn answered(self) -> Result<Vec<AnsweredQuestion>, Refusal> {
        let Self { query, prompts, mut labels } = self;
        labels.resize(if labels.is_empty() { query.len() } else { labels.len() }, Value::Null);
        if (prompts.len(), labels.len()) != (query.len(), query.len()) {
            return Err(Refusal::Unprocessable(format!(
                "`query` has {} entries, `prompts` {} and `labels` {}; they need as many",
                query.len(),
                prompts.len(),
                labels.len()
            )));
        }
        let mut groups: Vec<(String, Value, Vec<String>)> = Vec::new();
        for ((query, prompt), label) in query.into_iter().zip(prompts).zip(labels) {
            // A query is the prompt and the completion, unless a template was put around the prompt.
            let completion = query.strip_prefix(&prompt).map(str::to_owned).unwrap_or(query);
            match groups.last_mut() {
                Some((last, gold, completions)) if *last == prompt && *gold == label => completions.push(completion),
                _ => groups.push((prompt, label, vec![completion])),
            }
        }
        let mut answered = AnsweredQuestions::default();
        for (place, (prompt, label, completions)) in groups.into_iter().enumerate() {
            let question = json!({ "prompt": prompt, "gold": label, "completions": completions });
            let question = to_raw_value(&question).expect("a question is plain data");
            let wrong = |reason| Refusal::Unprocessable(format!("the sample of prompt {place}: {reason}"));
            answered.add_json(&question, || place.to_string()).map_err(wrong)?;
        }
        Ok(answered.into_questions())
    }
}

/// Writes the rewards of all samples.
pub(crate) fn rewards(lines: &[ScoreLine], rollouts: &[Rollout<'_>]) -> Result<String, Refusal> {
    let mut answer = Rewards { rewards: Vec::new(), scores: Vec::new(), extra_logs: BTreeMap::new() };
    for sample in rollouts.iter().flat_map(Rollout::samples) {
        let failure = sample.dropped.as_deref().unwrap_or("it has no reward");
        let reward = sample.reward.ok_or_else(|| {
            Refusal::PluginFailed(format!(
                "a sample has no reward: {failure}; a plugin's `on_error = {{ score = 0.0 }}` would give it one"
            ))
        })?;
        answer.rewards.push(reward);
        answer.scores.push(sample.accuracy.unwrap_or(reward));
    }
    for line in lines {
        for completion in 0..line.rewards.len() {
            for (plugin, score) in line.scores_of(completion) {
                answer.extra_logs.entry(plugin.to_owned()).or_default().push(score.clone());
            }
        }
    }
    Ok(serde_json::to_string(&answer).expect("rewards are plain data"))
}

/// The answer to empty lists.
pub(crate) fn nothing() -> String {
    let nothing = Rewards { rewards: Vec::new(), scores: Vec::new(), extra_logs: BTreeMap::new() };
    serde_json::to_string(&nothing).expect("rewards are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_the_same_prompt_are_a_group() {
        let samples: Samples = serde_json::from_value(json!({
            "query": ["1+1=2", "1+1=3", "<s>2+2=</s>4"], "prompts": ["1+1=", "1+1=", "2+2="], "labels": ["2", "2", null],
        }))
        .unwrap();
        let answered = samples.answered().unwrap();
        let texts = |at: usize| answered[at].completions[0].iter().map(|c| c.text.as_str()).collect::<Vec<_>>();
        assert_eq!((texts(0), texts(1)), (vec!["2", "3"], vec!["<s>2+2=</s>4"]));
        assert_eq!(answered[0].question.prompts[0].gold.as_deref(), Some("2"));
    }

    #[test]
    fn lists_of_other_lengths_are_refused() {
        let samples: Samples = serde_json::from_value(json!({ "query": ["a"], "prompts": [] })).unwrap();
        assert!(matches!(samples.answered(), Err(Refusal::Unprocessable(reason)) if reason.contains("`prompts` 0")));
    }
}
