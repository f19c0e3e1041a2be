//! The lines of `metrics.jsonl`. All that depends on the machine's speed is under `time`: the rest is the same for the
//! same seed on the same kind of processor.

use std::collections::BTreeMap;

use alft_game::Target;
use alft_policy::{GrpoStats, SupervisedStats};
use serde::Serialize;

use crate::draws::Draws;
use crate::plugins::PluginSet;
use crate::reward::TargetState;
use crate::rollout::{Group, Rollout};
use crate::stats::{Averages, Mean, PluginStepStats, StepStats};
use crate::warning::Warning;

/// A step of supervised training.
#[derive(Debug, Clone, Serialize)]
pub struct WarmStartLine {
    /// `"warm-start"`.
    pub phase: &'static str,
    /// The step, from 1.
    pub step: u64,
    /// Mean cross-entropy per completion token, in nats.
    pub loss: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Warnings of the step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An evaluation, where the run makes some while training.
#[derive(Debug, Clone, Serialize)]
pub struct EvaluationLine {
    /// `"evaluation"`.
    pub phase: &'static str,
    /// Steps of the game that were done.
    pub step: u64,
    /// Averages over the samples of the questions kept out of training.
    #[serde(flatten)]
    pub averages: Averages,
}

/// A step of the game.
#[derive(Debug, Clone, Serialize)]
pub struct GameLine {
    /// `"game"`.
    pub phase: &'static str,
    /// The step, from 1.
    pub step: u64,
    /// The changes of plugins, limits and learning rate before this step, in words: see `changes.jsonl`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Warnings of the step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Averages over the step's samples.
    #[serde(flatten)]
    pub averages: Averages,
    /// Mean KL divergence from the reference policy a token, in nats: the k3 estimate, or the plain one where the KL
    /// penalty is taken off the reward.
    pub kl: f64,
    /// The GRPO loss.
    pub loss: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Share of completion tokens whose ratio is clipped.
    pub clip_fraction: f64,
    /// Mean entropy of the next-token distribution, in nats.
    pub token_entropy: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Mean tokens of a completion.
    pub completion_tokens: f64,
    /// Share of completions ended by the limit on tokens.
    pub truncated: f64,
    /// Tokens of all completions.
    pub sampled_tokens: usize,
    /// Questions that were drawn in place of others, which taught nothing.
    pub resampled: usize,
    /// `rewards/<name>` and `rewards/<name>/std`: mean and standard deviation of each plugin's unweighted rewards.
    #[serde(flatten)]
    pub rewards: BTreeMap<String, f64>,
    /// Each plugin's part in the step.
    pub plugins: BTreeMap<String, PluginLine>,
    /// The target player, where it remembers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetLine>,
    /// Seconds.
    pub time: TimeLine,
}

/// A plugin's part in a step.
#[derive(Debug, Clone, Serialize)]
pub struct PluginLine {
    /// The weight in force.
    pub weight: f64,
    /// Mean unweighted reward of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// Mean unweighted utility of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utility: Option<f64>,
    /// The price of the plugin's constraint, for an objective that is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<f64>,
    /// Calls made.
    pub calls: u64,
    /// Completions, answers and bundles that the plugin was asked about.
    pub items: u64,
    /// Fuel used.
    pub fuel: u64,
    /// Fuel an item.
    pub fuel_per_item: f64,
    /// Fuel of the call that used the most.
    pub max_call_fuel: u64,
    /// Failures by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<&'static str, u64>,
}

/// The target player after a step.
#[derive(Debug, Clone, Serialize)]
pub struct TargetLine {
    /// Mean Jensen–Shannon divergence between a prompt's target and the step's samples, in nats.
    pub distance: f64,
    /// Mean entropy of a prompt's target, in nats.
    pub entropy: f64,
    /// Questions that the target remembers.
    pub bundles: usize,
}

/// Seconds of a step.
#[derive(Debug, Clone, Serialize)]
pub struct TimeLine {
    /// The whole step.
    pub step: f64,
    /// Sampling completions.
    pub sampling: f64,
    /// Calls of plugins, added up.
    pub plugins: f64,
    /// The update of the weights.
    pub update: f64,
}

impl WarmStartLine {
    pub(crate) fn new(step: u64, report: &SupervisedStats, warnings: &[Warning]) -> Self {
        let SupervisedStats { loss, grad_norm, learning_rate } = *report;
        let warnings = warnings.iter().map(Warning::to_string).collect();
        Self { phase: "warm-start", step, loss, grad_norm, learning_rate, warnings }
    }
}

impl GameLine {
    /// The line of the step that comes after `done` steps.
    pub(crate) fn new(
        done: u64,
        (changes, warnings): (Vec<String>, &[Warning]),
        draws: &Draws<'_>,
        (plugins, targets): (&PluginSet, &TargetState),
        update: &GrpoStats,
        time: TimeLine,
    ) -> Self {
        let Draws { rollouts, stats, .. } = draws;
        let samples = || rollouts.iter().flat_map(Rollout::samples);
        let count = samples().count() as f64;
        let tokens: usize = samples().map(|sample| sample.completion.tokens.len()).sum();
        let log_ratios: Option<f64> = samples().map(|sample| sample.log_ratio).sum();
        Self {
            phase: "game",
            step: done + 1,
            changes,
            warnings: warnings.iter().map(Warning::to_string).collect(),
            averages: stats.averages,
            // In the reward the penalty is the policy's own estimate, without the terms that keep k3 positive.
            kl: log_ratios.map_or(update.kl, |ratios| ratios / tokens as f64),
            loss: update.loss,
            grad_norm: update.grad_norm,
            clip_fraction: update.clip_fraction,
            token_entropy: update.entropy,
            learning_rate: update.learning_rate,
            completion_tokens: tokens as f64 / count,
            truncated: samples().filter(|sample| !sample.completion.finished).count() as f64 / count,
            sampled_tokens: tokens,
            resampled: draws.resampled(),
            rewards: rewards(plugins, stats),
            plugins: plugin_lines(done, plugins, stats, targets),
            target: TargetLine::new(targets, rollouts),
            time,
        }
    }
}

/// `rewards/<name>` and `rewards/<name>/std` of each plugin that rewards samples.
fn rewards(plugins: &PluginSet, stats: &StepStats) -> BTreeMap<String, f64> {
    let mut rewards = BTreeMap::new();
    for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
        if let (Some(mean), Some(std)) = (stats.reward.get(), stats.reward_std()) {
            rewards.insert(format!("rewards/{}", plugin.name), mean);
            rewards.insert(format!("rewards/{}/std", plugin.name), std);
        }
    }
    rewards
}

fn plugin_lines(
    done: u64,
    plugins: &PluginSet,
    stats: &StepStats,
    targets: &TargetState,
) -> BTreeMap<String, PluginLine> {
    let lines = plugins.iter().zip(&stats.plugins).map(|(plugin, stats)| {
        let PluginStepStats { usage, failures, reward, utility, violation, .. } = stats;
        let line = PluginLine {
            weight: plugin.weight.at(done),
            reward: reward.get(),
            utility: utility.get(),
            multiplier: violation.get().map(|_| targets.multiplier(&plugin.name)),
            calls: usage.calls,
            items: stats.asked(),
            fuel: usage.fuel,
            fuel_per_item: fuel_per_item(usage.fuel, stats.asked()),
            max_call_fuel: usage.max_call_fuel,
            failures: failures.iter().map(|(kind, (count, _))| (*kind, *count)).collect(),
        };
        (plugin.name.clone(), line)
    });
    lines.collect()
}

/// Fuel an item; 0 where there was no item.
pub(super) fn fuel_per_item(fuel: u64, items: u64) -> f64 {
    fuel as f64 / items.max(1) as f64
}

impl TargetLine {
    /// `None` where targets are best responses, or no sample was kept.
    fn new(targets: &TargetState, rollouts: &[Rollout<'_>]) -> Option<Self> {
        let met = || rollouts.iter().filter_map(|rollout| Some((targets.targets.get(&rollout.question.id)?, rollout)));
        let distance = |(target, rollout): (&Target, &Rollout<'_>)| {
            target.distance(&rollout.groups.iter().map(Group::answers).collect::<Vec<_>>())
        };
        Some(Self {
            distance: met().filter_map(distance).collect::<Mean>().get()?,
            entropy: met().filter_map(|(target, _)| target.entropy()).collect::<Mean>().get()?,
            bundles: targets.targets.len(),
        })
    }
}
