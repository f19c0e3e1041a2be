//! Each plugin's usage and failures over a run, and the check that failures are not too many.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::PluginStepStats;

/// A plugin's totals over a run. Checkpoints hold them, so a resumed run goes on counting.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PluginTotals {
    /// Calls made.
    pub calls: u64,
    /// Completions, answers and bundles that the plugin was asked about.
    pub items: u64,
    /// Fuel used.
    pub fuel: u64,
    /// Fuel of the call that used the most.
    pub max_call_fuel: u64,
    /// Wall-clock time within the plugin, in seconds.
    pub seconds: f64,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// Items and failures of the latest batches, oldest first: the window of [`PluginTotals::failure_rate`].
    latest: VecDeque<(u64, u64)>,
}

/// A failure rate is measured over at least this many batches: a single batch that ran past its deadline fails whole,
/// and a busy machine must not end a run.
const BATCHES: usize = 10;

/// A failure rate is measured over at least this many items: a plugin that fails on a quarter of its items is seen
/// failing on more than half of 100 less than once in ten million windows.
const ITEMS: u64 = 100;

impl PluginTotals {
    /// Adds a step's statistics.
    pub fn add(&mut self, stats: &PluginStepStats) {
        self.calls += stats.usage.calls;
        self.items += stats.items;
        self.fuel += stats.usage.fuel;
        self.max_call_fuel = self.max_call_fuel.max(stats.usage.max_call_fuel);
        self.seconds += stats.usage.time.as_secs_f64();
        for (kind, (count, _)) in &stats.failures {
            *self.failures.entry((*kind).to_owned()).or_default() += count;
        }
        if stats.items > 0 {
            self.latest.push_back((stats.items, stats.failed));
        }
        while self.latest.len() > BATCHES && self.window_items() - self.latest[0].0 >= ITEMS {
            self.latest.pop_front();
        }
    }

    /// The share of items that failed over the latest batches: at least 10 batches and 100 items. `None` before there
    /// are as many.
    pub fn failure_rate(&self) -> Option<f64> {
        let failed: u64 = self.latest.iter().map(|(_, failed)| failed).sum();
        let enough = self.latest.len() >= BATCHES && self.window_items() >= ITEMS;
        enough.then(|| failed as f64 / self.window_items() as f64)
    }

    /// Empties the window of the failure rate: a plugin that was replaced or reconfigured is not judged by its
    /// predecessor's failures.
    pub fn reset_failure_rate(&mut self) {
        self.latest.clear();
    }

    fn window_items(&self) -> u64 {
        self.latest.iter().map(|(items, _)| items).sum()
    }
}

/// Failures by kind, for people: "panic 3, trap 1".
pub fn failure_counts<K: std::fmt::Display>(failures: &BTreeMap<K, u64>) -> String {
    failures.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(items: u64, failed: u64) -> PluginStepStats {
        PluginStepStats { items, failed, ..PluginStepStats::default() }
    }

    #[test]
    fn the_failure_rate_covers_the_latest_batches() {
        let mut totals = PluginTotals::default();
        for _ in 0..9 {
            totals.add(&batch(50, 50));
            assert_eq!(totals.failure_rate(), None, "too few batches");
        }
        totals.add(&batch(50, 0));
        assert_eq!(totals.failure_rate(), Some(0.9));
        (0..9).for_each(|_| totals.add(&batch(50, 0)));
        assert_eq!(totals.failure_rate(), Some(0.0), "old batches leave the window");

        // Small batches: the window grows until it holds 100 items.
        let mut totals = PluginTotals::default();
        for _ in 0..49 {
            totals.add(&batch(2, 1));
            totals.add(&batch(0, 0));
            assert_eq!(totals.failure_rate(), None, "too few items");
        }
        totals.add(&batch(2, 1));
        assert_eq!(totals.failure_rate(), Some(0.5));
        (0..50).for_each(|_| totals.add(&batch(2, 2)));
        assert_eq!(totals.failure_rate(), Some(1.0));
    }
}
