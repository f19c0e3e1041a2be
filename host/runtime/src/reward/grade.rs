//! Graders: what a completion is worth beside its answer (format, length, style).

use alft_sdk::roles::{Batch, Role};
use alft_text::Foreign;

use super::call::{Replies, kept_completions, score_of_failure, text_bytes};
use super::config::RewardConfig;
use crate::config::OnError;
use crate::plugins::PluginSet;
use crate::rollout::{Reward, Rollout};
use crate::stats::StepStats;

/// Asks every grader about the completions of all kept samples.
pub(super) fn completions(
    rollouts: &mut [Rollout<'_>],
    plugins: &PluginSet,
    config: &RewardConfig<'_>,
    stats: &mut StepStats,
) {
    for (place, grader) in plugins.with_role(Role::Grader) {
        let stats = stats.plugin(place);
        let weight = grader.weight.at(config.step);
        let batch = rollouts.iter().flat_map(|rollout| &rollout.groups).map(kept_completions).collect();
        let mut replies = Replies::of(grader, Batch::Grader(batch), stats);
        for group in rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups) {
            let mut failed = None;
            for (number, sample) in group.samples.iter_mut().enumerate().filter(|(_, sample)| sample.is_kept()) {
                sample.charge(place, replies.fuel(text_bytes(group.prompt, &sample.completion.text)));
                let item = || format!("grade, prompt {}, sample {number}", Foreign::new(&group.prompt.id));
                let score = replies.score().or_else(|failure| {
                    if grader.at_limit(&failure).is_none() {
                        sample.failed(place, &failure);
                    }
                    score_of_failure((grader, Role::Grader), &failure, stats, item)
                });
                match score {
                    Ok(value) => sample.rewards.push(Reward { plugin: place, role: Role::Grader, weight, value }),
                    Err(reason) => {
                        sample.drop_for(&reason);
                        failed = Some(reason);
                    }
                }
            }
            if let (Some(reason), OnError::DropGroup) = (failed, grader.on_error) {
                group.drop_for(&reason);
            }
        }
    }
}
