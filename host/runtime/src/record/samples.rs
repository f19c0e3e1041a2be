//! The lines of `samples.jsonl`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::jsonl::JsonlWriter;
use crate::error::Result;
use crate::plugins::PluginSet;
use crate::rollout::{Group, Rollout, Sample};

/// A sampled completion.
#[derive(Debug, Serialize)]
pub struct SampleLine<'a> {
    /// The step, from 1.
    pub step: u64,
    /// The id of the phrasing.
    pub prompt: &'a str,
    /// The sample's place in its group, from 0.
    pub sample: usize,
    /// The text.
    pub completion: &'a str,
    /// The answer's key; `null` where no answer can be read.
    pub answer: Option<&'a str>,
    /// Weighted sum of rewards; `null` where a plugin failed on the sample.
    pub reward: Option<f64>,
    /// The GRPO advantage.
    pub advantage: Option<f64>,
    /// The reason why the sample was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<&'a str>,
    /// The sample's share of each plugin's fuel, rounded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fuel: BTreeMap<&'a str, u64>,
}

impl<'a> SampleLine<'a> {
    /// The line of a sample: `index` is the sample's place in its group.
    pub fn new(step: u64, group: &'a Group<'_>, index: usize, sample: &'a Sample, plugins: &'a PluginSet) -> Self {
        let fuel = sample.fuel.iter().map(|(place, fuel)| (plugins.get(*place).name.as_str(), fuel.round() as u64));
        Self {
            step,
            prompt: &group.prompt.id,
            sample: index,
            completion: &sample.completion.text,
            answer: sample.answer.key(),
            reward: sample.reward,
            advantage: sample.advantage,
            dropped: sample.dropped.as_deref(),
            fuel: fuel.filter(|(_, fuel)| *fuel > 0).collect(),
        }
    }

    /// Appends a line for each sample of a step.
    pub(crate) fn append_all(
        file: &mut JsonlWriter,
        step: u64,
        rollouts: &[Rollout<'_>],
        plugins: &PluginSet,
    ) -> Result<()> {
        for group in rollouts.iter().flat_map(|rollout| &rollout.groups) {
            for (index, sample) in group.samples.iter().enumerate() {
                file.append(&SampleLine::new(step, group, index, sample, plugins))?;
            }
        }
        Ok(())
    }
}
