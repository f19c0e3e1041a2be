//! Verifiers: what an answer is worth, by itself and to its group.

use std::collections::BTreeMap;

use alft_game::{Answer, GroupObjective, TargetDynamics, group};
use alft_sdk::call::PromptTexts;
use alft_sdk::roles::{Batch, Role};
use alft_text::Foreign;

use super::call::{Replies, score_of_failure, text_bytes};
use super::config::RewardConfig;
use super::targets::TargetState;
use crate::config::OnError;
use crate::plugins::PluginSet;
use crate::rollout::{Group, Reward, Rollout};
use crate::stats::StepStats;

/// Asks every verifier about each distinct answer of a group, and about those that its target remembers. An answer that
/// a verifier fails on is no answer to anyone: the samples that gave it are dropped, or all of their group, unless the
/// run file has a score for it.
pub(super) fn scores(
    rollouts: &mut [Rollout<'_>],
    plugins: &PluginSet,
    targets: &TargetState,
    config: &RewardConfig<'_>,
    stats: &mut StepStats,
) {
    for rollout in rollouts.iter_mut() {
        collect_answers(rollout, targets, config.target.dynamics);
    }
    for (place, verifier) in plugins.with_role(Role::Verifier) {
        let stats = stats.plugin(place);
        let batch = rollouts.iter().flat_map(|rollout| &rollout.groups).map(distinct_answers).collect();
        let mut replies = Replies::of(verifier, Batch::Verifier(batch), stats);
        for group in rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups) {
            let Group { prompt, samples, scores, .. } = group;
            scores.retain(|key, scores| {
                let gave = |answer: &Answer| answer.key() == Some(key);
                let count = samples.iter().filter(|sample| gave(&sample.answer)).count();
                let share = replies.fuel(text_bytes(prompt, key)) / count as f64;
                let samples_of_answer = samples.iter_mut().filter(|sample| gave(&sample.answer));
                samples_of_answer.for_each(|sample| sample.charge(place, share));
                let item = || format!("score, prompt {}, answer {:?}", Foreign::new(&prompt.id), Foreign::new(key));
                let score = replies.score().or_else(|failure| {
                    if verifier.at_limit(&failure).is_none() {
                        let samples_of_answer = samples.iter_mut().filter(|sample| gave(&sample.answer));
                        samples_of_answer.for_each(|sample| sample.failed(place, &failure));
                    }
                    score_of_failure((verifier, Role::Verifier), &failure, stats, item)
                });
                let reason = match score {
                    Ok(score) => {
                        scores.push(score);
                        return true;
                    }
                    Err(reason) => reason,
                };
                let whole_group = verifier.on_error == OnError::DropGroup && count > 0;
                let dropped = samples.iter_mut().filter(|sample| whole_group || gave(&sample.answer));
                dropped.for_each(|sample| sample.drop_for(&reason));
                false
            });
        }
    }
    for group in rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups) {
        reward_samples(group, plugins, config);
    }
}

/// Lists the answers of each group that verifiers are asked about.
fn collect_answers(rollout: &mut Rollout<'_>, targets: &TargetState, dynamics: TargetDynamics) {
    let keys = |group: &Group<'_>| -> BTreeMap<String, Vec<f64>> {
        group.samples.iter().filter_map(|sample| Some((sample.answer.key()?.to_owned(), Vec::new()))).collect()
    };
    if dynamics == TargetDynamics::BestResponse {
        rollout.groups.iter_mut().for_each(|group| group.scores = keys(group));
        return;
    }
    // A target knows every answer of its bundle for each of the bundle's prompts.
    let mut all: BTreeMap<String, Vec<f64>> = rollout.groups.iter().flat_map(keys).collect();
    all.extend(targets.answers(&rollout.question.id).map(|key| (key.to_owned(), Vec::new())));
    rollout.groups.iter_mut().for_each(|group| group.scores.clone_from(&all));
}

fn distinct_answers(group: &Group<'_>) -> PromptTexts {
    PromptTexts { prompt: group.prompt.clone(), texts: group.scores.keys().cloned().collect() }
}

/// Gives each kept sample the verifiers' scores of its answer. The first verifier's score is its accuracy.
fn reward_samples(group: &mut Group<'_>, plugins: &PluginSet, config: &RewardConfig<'_>) {
    let Group { samples, scores, .. } = group;
    for (column, (plugin, verifier)) in plugins.with_role(Role::Verifier).enumerate() {
        let weight = verifier.weight.at(config.step);
        // A completion without a readable answer must not be the better choice.
        let unreadable = scores.values().map(|scores| scores[column]).fold(0.0, f64::min);
        for sample in samples.iter_mut().filter(|sample| sample.is_kept()) {
            let value = sample.answer.key().map_or(unreadable, |key| scores[key][column]);
            sample.accuracy.get_or_insert(value);
            sample.rewards.push(Reward { plugin, role: Role::Verifier, weight, value });
        }
    }
}

/// Replaces a verifier's scores of a group by what each sample is worth to its group, where the run file asks for that.
/// Where the group objective is not defined for the scores, the group earns nothing from the verifier, or is dropped.
pub(super) fn group_objectives(rollouts: &mut [Rollout<'_>], plugins: &PluginSet, stats: &mut StepStats) {
    for (place, verifier) in plugins.with_role(Role::Verifier) {
        let Some(objective) = verifier.group_objective else { continue };
        for group in rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups) {
            if let Err(error) = replace_scores(group, place, objective) {
                let stats = stats.plugin(place);
                let reason = format!("prompt {}: {error}", Foreign::new(&group.prompt.id));
                // For the failure rate: the scores of all the group's answers are of no use.
                let answers = distinct_kept_answers(group);
                stats.failed_after_all(Role::Verifier, "group-objective", answers, || reason.clone());
                match verifier.on_error {
                    OnError::DropGroup => group.drop_for(&format!("{}: group objective, {reason}", verifier.name)),
                    _ => verifier_rewards(group, place).for_each(|reward| reward.value = 0.0),
                }
            }
        }
    }
}

fn replace_scores(group: &mut Group<'_>, place: usize, objective: GroupObjective) -> Result<(), group::Error> {
    let scores: Vec<f64> = verifier_rewards(group, place).map(|reward| reward.value).collect();
    if scores.is_empty() {
        return Ok(());
    }
    let rewards = objective.rewards(&scores)?;
    verifier_rewards(group, place).zip(rewards).for_each(|(reward, value)| reward.value = value);
    Ok(())
}

/// The verifier's reward of each kept sample.
fn verifier_rewards<'a>(group: &'a mut Group<'_>, place: usize) -> impl Iterator<Item = &'a mut Reward> {
    let rewards = group.kept_mut().flat_map(|sample| &mut sample.rewards);
    rewards.filter(move |reward| reward.plugin == place && reward.role == Role::Verifier)
}

fn distinct_kept_answers(group: &Group<'_>) -> u64 {
    group.kept().filter_map(|sample| sample.answer.key()).collect::<std::collections::BTreeSet<_>>().len() as u64
}
