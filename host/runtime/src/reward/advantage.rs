//! From rewards to GRPO advantages.

use alft_game::advantage::{self, GroupRewards, Weighted};
use alft_game::reward;
use alft_sdk::roles::Role;

use super::bundle::{PluginValuation, RolloutBundle};
use super::config::RewardConfig;
use crate::plugins::PluginSet;
use crate::rollout::{Group, Reward};

/// Adds the objectives' rewards to each kept sample, sums them by weight, and takes them relative to the groups of the
/// step.
pub(super) fn assign(bundles: &mut [RolloutBundle<'_, '_>], plugins: &PluginSet, config: &RewardConfig<'_>) {
    for RolloutBundle { rollout, bundle, valuations, .. } in bundles.iter_mut() {
        for group in &mut rollout.groups {
            for PluginValuation { plugin, valuation } in valuations.iter() {
                let groups = bundle.groups.iter().zip(&valuation.rewards);
                let same_prompt = groups.into_iter().find(|(in_bundle, _)| in_bundle.prompt.id == group.prompt.id);
                let Some((in_bundle, values)) = same_prompt else { continue };
                // A constraint's price is its multiplier: a weight besides would only make it another constraint.
                let weight = match valuation.violation {
                    Some(_) => 1.0,
                    None => plugins.get(*plugin).weight.at(config.step),
                };
                let rewards = reward::of_samples(in_bundle, values, &group.answers());
                for (sample, value) in group.samples.iter_mut().zip(rewards) {
                    let reward = |value| Reward { plugin: *plugin, role: Role::Objective, weight, value };
                    sample.rewards.extend(value.map(reward));
                }
            }
            sum_rewards(group);
        }
    }
    let groups: Vec<&mut Group<'_>> = bundles.iter_mut().flat_map(|bundle| &mut bundle.rollout.groups).collect();
    let rewards: Vec<GroupRewards> = groups.iter().map(|group| group_rewards(group, config)).collect();
    for (group, advantages) in groups.into_iter().zip(advantage::advantages(&rewards, config.advantage)) {
        group.samples.iter_mut().zip(advantages).for_each(|(sample, advantage)| sample.advantage = advantage);
    }
}

/// Sums each kept sample's rewards by weight, in the run file's order.
fn sum_rewards(group: &mut Group<'_>) {
    for sample in group.kept_mut() {
        // Floating-point sums depend on their order, so the order depends on the run file alone.
        sample.rewards.sort_by_key(|reward| (reward.plugin, Role::ALL.iter().position(|role| *role == reward.role)));
        sample.reward = Some(sample.rewards.iter().map(|reward| reward.weight * reward.value).sum());
    }
}

/// The rewards of a group by each plugin and role, the KL penalty among them.
fn group_rewards(group: &Group<'_>, config: &RewardConfig<'_>) -> GroupRewards {
    // Every kept sample of a group is rewarded by the same plugins in the same roles.
    let sources = group.kept().next().map_or(&[][..], |sample| &sample.rewards);
    let mut weighted: Vec<Weighted> = sources
        .iter()
        .enumerate()
        .map(|(place, Reward { plugin, role, weight, .. })| {
            let rewards = group.samples.iter().map(|sample| sample.rewards.get(place).map(|reward| reward.value));
            let role = Role::ALL.iter().position(|other| other == role).unwrap_or_default();
            Weighted { source: 1 + plugin * Role::ALL.len() + role, weight: *weight, rewards: rewards.collect() }
        })
        .collect();
    if let Some(beta) = config.kl_penalty {
        let paid = group.samples.iter().map(|sample| sample.log_ratio.filter(|_| sample.is_kept()).map(|ratio| -ratio));
        weighted.push(Weighted { source: 0, weight: beta, rewards: paid.collect() });
    }
    GroupRewards { answers: group.answers(), rewards: weighted }
}
