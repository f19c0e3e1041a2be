//! Rollouts: the samples of a question, each one record that every later stage fills in.

use alft_game::Answer;
use alft_plugin_host::Failure;
use alft_policy::{Completion, Policy, Request, SampleConfig, Seed, Sequence, Trainer, sample};
use alft_sdk::Prompt;
use alft_sdk::roles::Role;
use std::collections::BTreeMap;

use crate::data::Question;
use crate::error::Result;
use crate::template::PromptTemplate;

/// The samples of one question: a group for each of its phrasings.
#[derive(Debug, Clone)]
pub struct Rollout<'a> {
    /// The question and its phrasings.
    pub question: &'a Question,
    /// One group for each phrasing, in the question's order.
    pub groups: Vec<Group<'a>>,
}

/// The samples of one phrasing: the group of GRPO.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The phrasing.
    pub prompt: &'a Prompt,
    /// The phrasing in the run's template, as tokens; empty where no language model drew the samples.
    pub prompt_tokens: Vec<u32>,
    /// The K samples.
    pub samples: Vec<Sample>,
    /// The verifiers' scores of each distinct answer, in the order of the verifiers. A target that remembers adds the
    /// answers of earlier steps.
    pub scores: BTreeMap<String, Vec<f64>>,
}

/// A sampled completion and everything that is known about it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The text, and the tokens that training needs.
    pub completion: Completion,
    /// The final answer, once the reader was asked.
    pub answer: Answer,
    /// The reason why the sample was dropped; `None` for a kept one.
    pub dropped: Option<String>,
    /// One entry for each plugin and role that rewards the sample, in the run file's order. Empty for a dropped sample.
    pub rewards: Vec<Reward>,
    /// The first verifier's score of the answer; 0 or less for a completion without a readable answer.
    pub accuracy: Option<f64>,
    /// log(π/π_ref) of the whole completion, in nats, where the run takes the KL penalty off the reward.
    pub log_ratio: Option<f64>,
    /// Σ weight × reward.
    pub reward: Option<f64>,
    /// The GRPO advantage. `None` for a dropped sample, and where fewer than two samples of the group are left.
    pub advantage: Option<f64>,
    /// The sample's share of each plugin's fuel, by the plugin's place in the run file.
    pub fuel: BTreeMap<usize, f64>,
    /// The failures on the sample, its answer or its bundle, by the plugin's place in the run file.
    pub failures: BTreeMap<usize, String>,
}

/// A plugin's reward for one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reward {
    /// The plugin's place in the run file.
    pub plugin: usize,
    /// The role in which the plugin rewarded the sample.
    pub role: Role,
    /// The weight in force.
    pub weight: f64,
    /// The unweighted reward.
    pub value: f64,
}

impl Sample {
    /// A completion of which nothing else is known yet.
    pub fn new(completion: Completion) -> Self {
        Self {
            completion,
            answer: Answer::Unreadable,
            dropped: None,
            rewards: Vec::new(),
            accuracy: None,
            log_ratio: None,
            reward: None,
            advantage: None,
            fuel: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Returns true unless a plugin failed on the sample.
    pub fn is_kept(&self) -> bool {
        self.answer != Answer::Dropped
    }

    /// Takes the sample out of the step: a failure must not become a verdict. The first reason stays.
    pub(crate) fn drop_for(&mut self, reason: &str) {
        self.answer = Answer::Dropped;
        self.dropped.get_or_insert_with(|| reason.to_owned());
        self.rewards.clear();
        self.accuracy = None;
    }

    /// Records a plugin's failure. The first one of a plugin stays.
    pub(crate) fn failed(&mut self, plugin: usize, failure: &Failure) {
        self.failures.entry(plugin).or_insert_with(|| failure.to_string());
    }

    /// Adds to the sample's share of a plugin's fuel.
    pub(crate) fn charge(&mut self, plugin: usize, fuel: f64) {
        if fuel > 0.0 {
            *self.fuel.entry(plugin).or_default() += fuel;
        }
    }
}

impl<'a> Group<'a> {
    /// A group of completions that are not read yet.
    pub fn new(prompt: &'a Prompt, prompt_tokens: Vec<u32>, completions: Vec<Completion>) -> Self {
        let samples = completions.into_iter().map(Sample::new).collect();
        Self { prompt, prompt_tokens, samples, scores: BTreeMap::new() }
    }

    /// The samples' answers, in order.
    pub fn answers(&self) -> Vec<Answer> {
        self.samples.iter().map(|sample| sample.answer.clone()).collect()
    }

    /// The samples that no plugin failed on.
    pub fn kept(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.is_kept())
    }

    /// The kept samples, to be changed.
    pub(crate) fn kept_mut(&mut self) -> impl Iterator<Item = &mut Sample> {
        self.samples.iter_mut().filter(|sample| sample.is_kept())
    }

    /// Returns true if the rewards of the kept samples differ, by more than the last bits of a sum, and so do the
    /// advantages.
    pub fn teaches(&self) -> bool {
        let rewards = || self.samples.iter().filter_map(|sample| sample.reward);
        let (low, high) = (rewards().fold(f64::INFINITY, f64::min), rewards().fold(f64::NEG_INFINITY, f64::max));
        let magnitude = low.abs().max(high.abs()).max(1e-9);
        let moves = |sample: &Sample| sample.advantage.is_some_and(|advantage| advantage != 0.0);
        high - low > 1e-9 * magnitude && self.samples.iter().any(moves)
    }

    /// Drops every sample of the group.
    pub(crate) fn drop_for(&mut self, reason: &str) {
        self.samples.iter_mut().for_each(|sample| sample.drop_for(reason));
    }
}

impl Rollout<'_> {
    /// Returns true if a group of the question teaches.
    pub fn teaches(&self) -> bool {
        self.groups.iter().any(Group::teaches)
    }

    /// All samples, group by group.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.groups.iter().flat_map(|group| &group.samples)
    }
}

/// Draws `group` completions of every phrasing of `questions`. `first` is the seed of the first one, and the others count
/// up from it: the seeds alone decide the random numbers.
///
/// # Errors
/// A question that the policy cannot encode, or a failure of the policy.
pub fn sample_rollouts<'a>(
    policy: &Policy,
    questions: &[&'a Question],
    template: &PromptTemplate,
    group: usize,
    sampling: &SampleConfig,
    first: Seed,
) -> Result<Vec<Rollout<'a>>> {
    let phrasings = || questions.iter().flat_map(|question| question.phrasings());
    let tokens = template.encode_batch(phrasings().map(|(history, prompt)| (history, prompt.text.as_str())))?;
    let encoded: Vec<(&Prompt, Vec<u32>)> = phrasings().map(|(_, prompt)| prompt).zip(tokens).collect();
    let requests: Vec<Request<'_>> = encoded
        .iter()
        .flat_map(|(_, tokens)| std::iter::repeat_n(tokens, group))
        .enumerate()
        .map(|(number, prompt)| Request { prompt, seed: Seed { sample: first.sample + number as u64, ..first } })
        .collect();
    let mut completions = sample(policy, &requests, sampling)?.into_iter();
    let mut encoded = encoded.into_iter();
    let rollout = |question: &&'a Question| {
        let phrasings = encoded.by_ref().take(question.prompts.len());
        let groups =
            phrasings.map(|(prompt, tokens)| Group::new(prompt, tokens, completions.by_ref().take(group).collect()));
        Rollout { question, groups: groups.collect() }
    };
    Ok(questions.iter().map(rollout).collect())
}

/// The token sequences of all samples, in the order of questions, phrasings and samples.
fn sequences(rollouts: &[Rollout<'_>]) -> Vec<Sequence> {
    let groups = rollouts.iter().flat_map(|rollout| &rollout.groups);
    groups.flat_map(|group| group.samples.iter().map(|sample| sequence(group, sample))).collect()
}

/// Writes log(π/π_ref) of each completion into its sample.
pub(crate) fn log_ratios(rollouts: &mut [Rollout<'_>], trainer: &Trainer, temperature: f64) -> Result<()> {
    let ratios = trainer.log_ratios(&sequences(rollouts), temperature)?;
    let samples = rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups).flat_map(|group| &mut group.samples);
    samples.zip(ratios).for_each(|(sample, ratio)| sample.log_ratio = Some(ratio));
    Ok(())
}

/// The samples that have an advantage, as training takes them: a sequence and an advantage each, or none for a completion
/// that is masked because it was ended by the largest number of tokens.
pub(crate) fn training_batch<'r, 'a: 'r>(
    rollouts: impl Iterator<Item = &'r Rollout<'a>>,
    mask_truncated: bool,
) -> (Vec<Sequence>, Vec<Option<f64>>) {
    let groups = rollouts.flat_map(|rollout| &rollout.groups);
    let samples = groups.flat_map(|group| group.samples.iter().map(move |sample| (group, sample)));
    let entry = |(group, sample): (&Group<'_>, &Sample)| {
        let advantage = sample.advantage?;
        let masked = mask_truncated && !sample.completion.finished;
        Some((sequence(group, sample), (!masked).then_some(advantage)))
    };
    samples.filter_map(entry).unzip()
}

fn sequence(group: &Group<'_>, sample: &Sample) -> Sequence {
    Sequence { prompt: group.prompt_tokens.clone(), completion: sample.completion.tokens.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_completion_is_masked_and_keeps_its_place_in_the_batch() {
        let prompt = Prompt { id: "x".into(), text: "x".into(), ..Prompt::default() };
        let completion = |finished| Completion { tokens: vec![7], log_probs: vec![0.0], text: String::new(), finished };
        let mut group = Group::new(&prompt, vec![1], vec![completion(true), completion(false), completion(true)]);
        [Some(1.0), Some(-1.0), None].into_iter().zip(&mut group.samples).for_each(|(a, sample)| sample.advantage = a);
        let question = Question::of_texts("x".into(), vec![prompt.clone()]);
        let rollouts = [Rollout { question: &question, groups: vec![group] }];
        assert_eq!(training_batch(rollouts.iter(), false).1, [Some(1.0), Some(-1.0)]);
        let (batch, advantages) = training_batch(rollouts.iter(), true);
        assert_eq!((batch.len(), advantages), (2, vec![Some(1.0), None]));
    }
}
