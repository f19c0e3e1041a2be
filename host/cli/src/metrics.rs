//! The lines of `metrics.jsonl` and `samples.jsonl`. All that depends on the machine's speed is under `time`: the rest
//! is the same for the same seed.

use std::collections::BTreeMap;

use alft_game::Target;
use serde::Serialize;

use crate::averages::Averages;
use crate::deeds::Deeds;
use crate::mean::Mean;
use crate::panel::Panel;
use crate::play::{Answered, Memory, Played};

/// A step of supervised training.
#[derive(Debug, Serialize)]
pub(crate) struct WarmStartLine {
    pub(crate) phase: &'static str,
    pub(crate) step: u64,
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
    pub(crate) learning_rate: f64,
}

/// A step of the game.
#[derive(Debug, Serialize)]
pub(crate) struct GameLine {
    pub(crate) phase: &'static str,
    /// From 1.
    pub(crate) step: u64,
    /// What changed before this step, in words: see `changes.jsonl`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<String>,
    #[serde(flatten)]
    pub(crate) averages: Averages,
    /// Per token, k3 estimate, in nats.
    pub(crate) kl: f64,
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
    pub(crate) clip_fraction: f64,
    /// Mean entropy of the next token, in nats.
    pub(crate) token_entropy: f64,
    pub(crate) learning_rate: f64,
    /// Mean tokens of a completion.
    pub(crate) completion_tokens: f64,
    /// Share of completions ended by the limit on tokens.
    pub(crate) truncated: f64,
    pub(crate) plugins: BTreeMap<String, PluginLine>,
    /// Where the target remembers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<TargetLine>,
    pub(crate) time: TimeLine,
}

/// What a plugin did in a step.
#[derive(Debug, Serialize)]
pub(crate) struct PluginLine {
    /// The weight in force.
    pub(crate) weight: f64,
    /// Mean reward of a sample, unweighted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reward: Option<f64>,
    /// Mean utility of a bundle, unweighted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) utility: Option<f64>,
    /// The price of its constraint, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multiplier: Option<f64>,
    pub(crate) calls: u64,
    /// Completions read, answers verified, bundles priced.
    pub(crate) items: u64,
    pub(crate) fuel: u64,
    pub(crate) fuel_per_item: f64,
    /// Fuel of the dearest call.
    pub(crate) dearest_call: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) failures: BTreeMap<&'static str, u64>,
}

/// The target player after a step.
#[derive(Debug, Serialize)]
pub(crate) struct TargetLine {
    /// Mean Jensen–Shannon divergence between a prompt's target and the step's samples, in nats.
    pub(crate) distance: f64,
    /// Mean entropy of a prompt's target, in nats.
    pub(crate) entropy: f64,
    /// Bundles that it remembers.
    pub(crate) bundles: usize,
}

impl TargetLine {
    /// `None` where targets are best responses, or nothing was seen.
    pub(crate) fn of(memory: &Memory, answered: &[Answered<'_>], played: &[Played]) -> Option<Self> {
        let seen: Vec<(&Target, &Played)> = answered
            .iter()
            .zip(played)
            .filter_map(|(answered, played)| Some((memory.targets.get(&answered.asked.id)?, played)))
            .collect();
        Some(Self {
            distance: seen.iter().filter_map(|(t, played)| t.distance(&played.readings)).collect::<Mean>().get()?,
            entropy: seen.iter().filter_map(|(target, _)| target.entropy()).collect::<Mean>().get()?,
            bundles: memory.targets.len(),
        })
    }
}

/// Seconds.
#[derive(Debug, Serialize)]
pub(crate) struct TimeLine {
    pub(crate) step: f64,
    pub(crate) sampling: f64,
    pub(crate) plugins: f64,
    pub(crate) update: f64,
}

/// A line of a plugin's diagnostics.
#[derive(Debug, Serialize)]
pub(crate) struct DiagnosticsLine<'a> {
    pub(crate) step: u64,
    pub(crate) plugin: &'a str,
    pub(crate) line: &'a str,
}

/// A sampled completion.
#[derive(Debug, Serialize)]
pub(crate) struct SampleLine<'a> {
    pub(crate) step: u64,
    pub(crate) prompt: &'a str,
    pub(crate) sample: usize,
    pub(crate) completion: &'a str,
    /// The answer's key; none where it cannot be read.
    pub(crate) answer: Option<&'a str>,
    /// Summed weighted reward; none where a plugin failed on the sample.
    pub(crate) reward: Option<f64>,
    pub(crate) advantage: Option<f64>,
    /// Its share of each plugin's fuel, rounded: see `Deeds::shares`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) fuel: BTreeMap<&'a str, u64>,
}

/// 0 where there was no item.
pub(crate) fn per_item(fuel: u64, items: u64) -> f64 {
    fuel as f64 / items.max(1) as f64
}

/// The plugins' part of the line of the step that came after `step`.
pub(crate) fn plugin_lines(panel: &Panel, deeds: &[Deeds], step: u64, memory: &Memory) -> BTreeMap<String, PluginLine> {
    let line = |(seat, deeds): (&crate::panel::Seat, &Deeds)| {
        let line = PluginLine {
            weight: seat.weight.at(step),
            reward: deeds.reward.get(),
            utility: deeds.utility.get(),
            multiplier: deeds.violation.get().map(|_| memory.multiplier(&seat.name)),
            calls: deeds.calls,
            items: deeds.items,
            fuel: deeds.fuel,
            fuel_per_item: per_item(deeds.fuel, deeds.items),
            dearest_call: deeds.dearest,
            failures: deeds.failures.iter().map(|(kind, (count, _))| (*kind, *count)).collect(),
        };
        (seat.name.clone(), line)
    };
    panel.seats.iter().zip(deeds).map(line).collect()
}
