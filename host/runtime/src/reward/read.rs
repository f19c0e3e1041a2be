//! The reader: from completions to answers.

use std::collections::BTreeMap;

use alft_game::{Answer, metrics};
use alft_sdk::call::PromptTexts;
use alft_sdk::roles::{Batch, Role};

use super::call::{Replies, kept_completions, text_bytes};
use crate::config::OnError;
use crate::plugins::PluginSet;
use crate::rollout::{Group, Rollout};
use crate::stats::StepStats;

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
                        format!("read, prompt {}, sample {number}", group.prompt.id)
                    });
                    sample.answer = Answer::Unreadable;
                }
                Err(failure) => {
                    let reason = reader.reason(&failure);
                    stats.failed(&failure, || format!("read, prompt {}, sample {number}", group.prompt.id));
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
