//! Bundles: what objectives see of a question's samples.

use alft_game::{Target, TargetDynamics, bundle};
use alft_sdk::roles::Role;
use alft_sdk::{Bundle, Valuation};

use super::config::RewardConfig;
use super::targets::TargetState;
use crate::plugins::PluginSet;
use crate::rollout::{Group, Rollout};

/// A rollout with the bundle that objectives see and the valuations that they return.
pub(super) struct RolloutBundle<'r, 'a> {
    pub(super) rollout: &'r mut Rollout<'a>,
    /// Groups of which every sample was dropped are not in it.
    pub(super) bundle: Bundle,
    /// The target after this step, to be committed unless the bundle is dropped. `None` where targets do not remember.
    pub(super) target: Option<Target>,
    /// The valuations of the objectives that did not fail on the bundle, in the run file's order.
    pub(super) valuations: Vec<PluginValuation>,
    /// The reason to drop the bundle: an objective with `on_error = "drop-group"` failed on it.
    pub(super) dropped: Option<String>,
}

/// An objective's valuation of a bundle.
pub(super) struct PluginValuation {
    /// The objective's place in the run file.
    pub(super) plugin: usize,
    pub(super) valuation: Valuation,
}

/// Counts each question's kept samples into a bundle with estimates of the answer marginals, or, where targets
/// remember, moves the target and takes its exact probabilities.
pub(super) fn build<'r, 'a>(
    rollouts: &'r mut [Rollout<'a>],
    plugins: &PluginSet,
    targets: &TargetState,
    config: &RewardConfig<'_>,
) -> Vec<RolloutBundle<'r, 'a>> {
    let verifiers: Vec<String> = plugins.with_role(Role::Verifier).map(|(_, plugin)| plugin.name.clone()).collect();
    let build = |rollout: &'r mut Rollout<'a>| {
        let (mut bundle, target) = match config.target.dynamics {
            TargetDynamics::BestResponse => (sampled(rollout, config), None),
            TargetDynamics::Average | TargetDynamics::Mirror => remembered(rollout, targets, config),
        };
        bundle.verifiers.clone_from(&verifiers);
        for group in &rollout.groups {
            set_scores(&mut bundle, group);
        }
        bundle::set_reference(&mut bundle, |prompt| targets.reference_marginal(rollout.question, prompt));
        RolloutBundle { rollout, bundle, target, valuations: Vec::new(), dropped: None }
    };
    rollouts.iter_mut().map(build).collect()
}

/// The bundle of the step's own samples.
fn sampled(rollout: &Rollout<'_>, config: &RewardConfig<'_>) -> Bundle {
    let kept = rollout.groups.iter().filter(|group| group.kept().next().is_some());
    let answers: Vec<_> = kept.map(|group| (group.prompt, group.answers())).collect();
    let groups: Vec<_> = answers.iter().map(|(prompt, answers)| bundle::Group { prompt, answers }).collect();
    bundle::build(&rollout.question.id, &groups, config.estimator)
}

/// The target after this step's samples, and the bundle of its probabilities.
fn remembered(rollout: &Rollout<'_>, targets: &TargetState, config: &RewardConfig<'_>) -> (Bundle, Option<Target>) {
    let answers: Vec<_> = rollout.groups.iter().map(Group::answers).collect();
    let mut target = targets.target(&rollout.question.id).next(&answers, config.target);
    // An answer that a verifier failed on is no answer to anyone.
    target.retain(|prompt, key| rollout.groups[prompt].scores.contains_key(key));
    (target.bundle(&rollout.question.id, &rollout.question.prompts), Some(target))
}

/// Writes the verifiers' scores into the bundle's group of the same prompt.
fn set_scores(bundle: &mut Bundle, group: &Group<'_>) {
    let same_prompt = bundle.groups.iter_mut().find(|in_bundle| in_bundle.prompt.id == group.prompt.id);
    let Some(in_bundle) = same_prompt else { return };
    in_bundle.answers.retain_mut(|answer| match group.scores.get(&answer.key) {
        Some(scores) => {
            answer.scores.clone_from(scores);
            true
        }
        None => false,
    });
}

impl RolloutBundle<'_, '_> {
    /// Drops every sample of the question if the bundle is to be dropped; the question's target stays where it was.
    pub(super) fn drop_if_failed(&mut self) {
        let Some(reason) = &self.dropped else { return };
        self.rollout.groups.iter_mut().for_each(|group| group.drop_for(reason));
        self.valuations.clear();
        self.target = None;
    }
}

/// The new targets of the questions that were not dropped.
pub(super) fn targets(bundles: Vec<RolloutBundle<'_, '_>>) -> impl Iterator<Item = (String, Target)> {
    bundles.into_iter().filter_map(|bundle| Some((bundle.rollout.question.id.clone(), bundle.target?)))
}
