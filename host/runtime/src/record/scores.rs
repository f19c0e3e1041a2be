//! The scores of a phrasing's completions, as `alft score` and `alft serve` give them.

use serde::Serialize;
use serde_json::{Map, Value, json};

use alft_sdk::roles::Role;

use crate::plugins::PluginSet;
use crate::rollout::{Group, Sample};

/// The scores of a phrasing, with an entry for each of its completions.
#[derive(Debug, Serialize)]
pub struct ScoreLine {
    id: String,
    /// The keys; `null` where no answer can be read.
    answers: Vec<Value>,
    /// Each plugin's unweighted scores; `null` for a completion that it was not asked about.
    scores: Map<String, Value>,
    /// Σ weight × score; `null` where a plugin failed.
    pub rewards: Vec<Option<f64>>,
    /// The advantages; `null` where a plugin failed.
    pub advantages: Vec<Option<f64>>,
}

impl ScoreLine {
    /// The scores of a group that has its advantages.
    pub fn new(group: &Group<'_>, plugins: &PluginSet) -> Self {
        let samples = || group.samples.iter();
        let scoring =
            plugins.iter().enumerate().filter(|(_, plugin)| plugin.roles.iter().any(|role| role != Role::Reader));
        let scores = scoring.map(|(place, plugin)| (plugin.name.clone(), samples().map(|s| score(s, place)).collect()));
        Self {
            id: group.prompt.id.clone(),
            answers: samples().map(answer).collect(),
            scores: scores.collect(),
            rewards: samples().map(|sample| sample.reward).collect(),
            advantages: samples().map(|sample| sample.advantage).collect(),
        }
    }

    /// The scores of a completion by the plugins' names.
    pub fn scores_of(&self, completion: usize) -> impl Iterator<Item = (&str, &Value)> {
        self.scores.iter().map(move |(name, scores)| (name.as_str(), &scores[completion]))
    }
}

fn answer(sample: &Sample) -> Value {
    match &sample.dropped {
        Some(reason) => json!({ "failure": reason }),
        None => sample.answer.key().into(),
    }
}

fn score(sample: &Sample, plugin: usize) -> Value {
    if let Some(failure) = sample.failures.get(&plugin) {
        return json!({ "failure": failure });
    }
    let rewards = sample.rewards.iter().filter(|reward| reward.plugin == plugin);
    rewards.map(|reward| reward.value).reduce(|sum, value| sum + value).into()
}
