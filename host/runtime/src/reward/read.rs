//! The reader: from completions to answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use alft_game::{Answer, metrics};
use alft_plugin_host::{Failure, FailureKind};
use alft_sdk::call::PromptTexts;
use alft_sdk::roles::{Batch, Role};
use alft_text::Foreign;

use super::call::{Replies, kept_completions, text_bytes};
use crate::config::OnError;
use crate::plugins::{PluginSet, RunPlugin};
use crate::rollout::{Group, Rollout};
use crate::stats::{PluginStepStats, StepStats};

/// Asks the reader for the answer of every completion.
pub(super) fn answers(rollouts: &mut [Rollout<'_>], plugins: &PluginSet, stats: &mut StepStats) {
    let (place, reader) = plugins.reader();
    let stats = stats.plugin(place);
    let groups = || rollouts.iter().flat_map(|rollout| &rollout.groups);
    // A reader that saw the gold answer could read it out of every completion.
    let batch = groups().map(kept_completions).map(PromptTexts::without_gold).collect();
    let mut replies = Replies::of(reader, Batch::Reader(batch), stats);
    for group in rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups) {
        let mut failed = None;
        for (number, sample) in group.samples.iter_mut().enumerate() {
            sample.charge(place, replies.fuel(text_bytes(group.prompt, &sample.completion.text)));
            match replies.key() {
                Ok(Some(key)) => sample.answer = Answer::Key(key),
                Ok(None) => sample.answer = Answer::Unreadable,
                Err(failure) if reader.at_limit(&failure).is_some() => {
                    stats.reached_limit(Role::Reader, &failure, || {
                        format!("read, prompt {}, sample {number}", Foreign::new(&group.prompt.id))
                    });
                    sample.answer = Answer::Unreadable;
                }
                Err(failure) => {
                    let reason = reader.reason(&failure);
                    stats.failed(&failure, || {
                        format!("read, prompt {}, sample {number}", Foreign::new(&group.prompt.id))
                    });
                    sample.failed(place, &failure);
                    sample.drop_for(&reason);
                    failed = Some(reason);
                }
            }
        }
        if let (Some(reason), OnError::DropGroup) = (failed, reader.on_error) {
            group.drop_for(&reason);
        }
    }
    rollouts.iter_mut().for_each(|rollout| limit_keys(rollout, (place, reader), stats));
}

/// Bytes of the distinct answer keys of a question's samples. Each is shown to objectives for every phrasing of the question,
/// and to verifiers, so longer ones would use up *their* memory.
const KEY_BYTES: usize = 1 << 20;

/// Fails the reader on samples of a question whose keys are too many bytes together: the rarest, and of these the longest,
/// first.
fn limit_keys(rollout: &mut Rollout<'_>, (place, reader): (usize, &RunPlugin), stats: &mut PluginStepStats) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for key in rollout.samples().filter_map(|sample| sample.answer.key()) {
        *counts.entry(key).or_default() += 1;
    }
    let bytes: usize = counts.keys().map(|key| key.len()).sum();
    if bytes <= KEY_BYTES {
        return;
    }
    let mut keys: Vec<(&str, usize)> = counts.into_iter().collect();
    keys.sort_by_key(|(key, count)| (Reverse(*count), key.len()));
    let mut free = KEY_BYTES;
    keys.retain(|(key, _)| match free.checked_sub(key.len()) {
        Some(rest) => {
            free = rest;
            false
        }
        None => true,
    });
    let refused: BTreeSet<String> = keys.into_iter().map(|(key, _)| key.to_owned()).collect();
    for group in &mut rollout.groups {
        let mut failed = None;
        for (number, sample) in group.samples.iter_mut().enumerate() {
            let Some(key) = sample.answer.key().filter(|key| refused.contains(*key)) else { continue };
            let detail = format!(
                "returned a key of {} bytes; the keys of the question's samples have {bytes} together, and at most {KEY_BYTES} \
                 are kept",
                key.len()
            );
            let failure = Failure::new(FailureKind::Output, detail);
            let reason = reader.reason(&failure);
            stats.failed_after_all(Role::Reader, failure.kind.name(), 1, || {
                format!("read, prompt {}, sample {number}: {failure}", Foreign::new(&group.prompt.id))
            });
            sample.failed(place, &failure);
            sample.drop_for(&reason);
            failed = Some(reason);
        }
        if let (Some(reason), OnError::DropGroup) = (failed, reader.on_error) {
            group.drop_for(&reason);
        }
    }
}

/// Reads a rollout and returns the answer marginal of each phrasing, ⊥ left out: for the reference policy.
pub(crate) fn answer_marginals(
    rollout: &mut Rollout<'_>,
    plugins: &PluginSet,
    stats: &mut StepStats,
) -> Vec<BTreeMap<String, f64>> {
    answers(std::slice::from_mut(rollout), plugins, stats);
    let marginal = |group: &Group<'_>| {
        let answers = group.answers();
        let shares = metrics::shares(&answers).into_iter();
        shares.filter_map(|(key, share)| Some((key?.to_owned(), share))).collect()
    };
    rollout.groups.iter().map(marginal).collect()
}
