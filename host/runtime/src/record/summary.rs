//! `summary.json`: the run as a whole.

use std::collections::BTreeMap;

use serde::Serialize;

use super::metrics::fuel_per_item;
use crate::best::BestCheckpoint;
use crate::stats::{Averages, PluginTotals};

/// The run as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Steps of the game.
    pub steps: u64,
    /// The run's seed.
    pub seed: u64,
    /// The evaluation before the game.
    pub before: Option<Averages>,
    /// The evaluation after the game.
    pub after: Option<Averages>,
    /// Questions of the evaluation that training asks too: their accuracy is no measure of other questions.
    #[serde(skip_serializing_if = "is_zero")]
    pub trained_eval_questions: usize,
    /// The best evaluation while training, if the run keeps its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestCheckpoint>,
    /// The failures of each plugin that failed, by kind.
    pub failures: BTreeMap<String, BTreeMap<String, u64>>,
    /// Each plugin's usage, evaluations included.
    pub usage: BTreeMap<String, UsageLine>,
    /// The prices that constraints have reached.
    pub multipliers: BTreeMap<String, f64>,
    /// Wall-clock time since the run was started or resumed.
    pub seconds: f64,
    /// Wall-clock time within each plugin, over the whole run.
    pub plugin_seconds: BTreeMap<String, f64>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A plugin's usage.
#[derive(Debug, Clone, Serialize)]
pub struct UsageLine {
    /// Calls made.
    pub calls: u64,
    /// Completions, answers and bundles that the plugin was asked about.
    pub items: u64,
    /// Fuel used; 0 for native libraries, which are not metered.
    pub fuel: u64,
    /// Fuel an item.
    pub fuel_per_item: f64,
    /// Fuel of the call that used the most.
    pub max_call_fuel: u64,
}

impl From<&PluginTotals> for UsageLine {
    fn from(totals: &PluginTotals) -> Self {
        let PluginTotals { calls, items, fuel, max_call_fuel, .. } = *totals;
        Self { calls, items, fuel, fuel_per_item: fuel_per_item(fuel, items), max_call_fuel }
    }
}
