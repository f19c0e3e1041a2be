//! Objectives: what a bundle's distribution of answers is worth.

use std::borrow::Cow;

use alft_sdk::Bundle;
use alft_sdk::roles::{Batch, Role};
use alft_text::Foreign;

use super::bundle::{PluginValuation, RolloutBundle};
use super::call::{Replies, bundle_bytes};
use super::targets::TargetState;
use crate::config::OnError;
use crate::plugins::PluginSet;
use crate::rollout::{Group, Sample};
use crate::stats::StepStats;

/// Asks every objective about all bundles that have an answer. An objective that fails on a bundle has no part in it,
/// the same for every answer of every group, unless the run file drops the bundle.
pub(super) fn objectives(
    bundles: &mut [RolloutBundle<'_, '_>],
    plugins: &PluginSet,
    targets: &TargetState,
    stats: &mut StepStats,
) {
    // An empty bundle has nothing to price. A bundle that one objective drops is still shown to the others, so the calls
    // of a step do not depend on who fails.
    let mut bundles: Vec<_> = bundles.iter_mut().filter(|bundle| has_answers(&bundle.bundle)).collect();
    for (place, objective) in plugins.with_role(Role::Objective) {
        let stats = stats.plugin(place);
        let multiplier = targets.multiplier(&objective.name);
        let priced = |bundle: &&mut RolloutBundle<'_, '_>| Bundle { multiplier, ..bundle.bundle.clone() };
        let batch: Vec<Bundle> = bundles.iter().map(priced).collect();
        let mut replies = Replies::of(objective, Batch::Objective(Cow::Owned(batch)), stats);
        for bundle in &mut bundles {
            let fuel = replies.fuel(bundle_bytes(&bundle.bundle));
            let kept = || bundle.rollout.samples().filter(|sample| sample.is_kept());
            let share = fuel / kept().count() as f64;
            let samples = bundle.rollout.groups.iter_mut().flat_map(|group| &mut group.samples);
            samples.filter(|sample| Sample::is_kept(sample)).for_each(|sample| sample.charge(place, share));
            match replies.valuation() {
                Ok(valuation) => bundle.valuations.push(PluginValuation { plugin: place, valuation }),
                Err(failure) => {
                    stats.failed(&failure, || format!("evaluate, bundle {}", Foreign::new(&bundle.bundle.id)));
                    let samples = bundle.rollout.groups.iter_mut().flat_map(Group::kept_mut);
                    samples.for_each(|sample| sample.failed(place, &failure));
                    if objective.on_error == OnError::DropGroup {
                        bundle.dropped.get_or_insert_with(|| objective.reason(&failure));
                    }
                }
            }
        }
    }
    for bundle in bundles {
        bundle.drop_if_failed();
        for PluginValuation { plugin, valuation } in &bundle.valuations {
            stats.plugin(*plugin).valued(valuation);
        }
    }
}

fn has_answers(bundle: &Bundle) -> bool {
    bundle.groups.iter().any(|group| !group.answers.is_empty())
}
