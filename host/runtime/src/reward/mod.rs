//! From completions to advantages: the plugins' part of a step, one stage a file.
//!
//! [`assign`] serves evaluation, simulation and scoring, and training and the reward service its two halves. It knows no
//! model: rollouts come in with their completions and leave with answers, rewards and advantages. Every stage writes into the
//! samples' own records.
//!
//! | stage | asks | writes |
//! | --- | --- | --- |
//! | `read` | the reader: what is the final answer of this completion? | `Sample::answer` |
//! | `grade` | graders: what is this completion worth? | `Sample::rewards` |
//! | `verify` | verifiers: what is this answer worth? group objectives: what is it worth to its group? | `Group::scores`, `Sample::accuracy`, `Sample::rewards` |
//! | `bundle` | the estimator and the target: the bundle that objectives see | |
//! | `price` | objectives: what is this distribution of answers worth? | |
//! | `advantage` | | `Sample::rewards`, `reward`, `advantage` |
//!
//! A failure is never a number: whatever a plugin fails on is dropped before anyone counts, and the target player moves
//! last, so no failure has to be taken back.

mod advantage;
mod bundle;
mod call;
mod config;
mod grade;
mod price;
mod read;
mod targets;
mod verify;

use alft_game::Target;

use crate::plugins::PluginSet;
use crate::rollout::Rollout;
use crate::stats::StepStats;

pub use config::RewardConfig;
pub use targets::TargetState;

/// Turns completions into advantages, and moves the target player.
pub fn assign(
    rollouts: &mut [Rollout<'_>],
    plugins: &PluginSet,
    targets: &mut TargetState,
    config: &RewardConfig<'_>,
) -> StepStats {
    let (stats, moved) = evaluate(rollouts, plugins, targets, config);
    targets.commit(moved, plugins, &stats);
    stats
}

/// Turns completions into advantages. Returns the questions' new targets, which [`TargetState::commit`] moves to: a step
/// whose update fails leaves the target player where it was.
pub fn evaluate(
    rollouts: &mut [Rollout<'_>],
    plugins: &PluginSet,
    targets: &TargetState,
    config: &RewardConfig<'_>,
) -> (StepStats, Vec<(String, Target)>) {
    let mut stats = StepStats::new(plugins);
    read::answers(rollouts, plugins, &mut stats);
    grade::completions(rollouts, plugins, config, &mut stats);
    verify::scores(rollouts, plugins, targets, config, &mut stats);
    verify::group_objectives(rollouts, plugins, &mut stats);
    let mut bundles = bundle::build(rollouts, plugins, targets, config);
    price::objectives(&mut bundles, plugins, targets, &mut stats);
    advantage::assign(&mut bundles, plugins, config);
    let moved = bundle::targets(bundles).collect();
    stats.summarize(rollouts);
    (stats, moved)
}

pub(crate) use read::answer_marginals;
