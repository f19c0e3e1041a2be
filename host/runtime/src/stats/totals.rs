//! Each plugin's usage and failures over a run, and the check that failures are not too many.

use std::collections::{BTreeMap, VecDeque};

use alft_sdk::roles::Role;
use serde::{Deserialize, Serialize};

use super::{ItemCount, PluginStepStats};

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
    /// Items of the latest batches of each role, oldest first: the windows of [`PluginTotals::failure_rate`].
    latest: BTreeMap<Role, VecDeque<ItemCount>>,
}

/// A failure rate is measured over at least this many batches: a single batch that ran past its deadline fails whole,
/// and a busy machine must not end a run.
const BATCHES: usize = 10;

/// A failure rate is measured over at least this many items: a plugin that fails on a quarter of its items is seen
/// failing on more than half of 100 less than once in ten million windows.
const ITEMS: u64 = 100;

/// A plugin that fails on every item is seen failing after as many: one that fails on half of its items fails on 20 in a row
/// less than once in a million times. An objective has one item a step where a step has one question.
const FAILED_ITEMS: u64 = 20;

impl PluginTotals {
    /// Adds a step's statistics.
    pub fn add(&mut self, stats: &PluginStepStats) {
        self.calls += stats.usage.calls;
        self.items += stats.asked();
        self.fuel += stats.usage.fuel;
        self.max_call_fuel = self.max_call_fuel.max(stats.usage.max_call_fuel);
        self.seconds += stats.usage.time.as_secs_f64();
        for (kind, (count, _)) in &stats.failures {
            *self.failures.entry((*kind).to_owned()).or_default() += count;
        }
        for (role, count) in stats.items.iter().filter(|(_, count)| count.asked > 0) {
            let latest = self.latest.entry(*role).or_default();
            latest.push_back(*count);
            while latest.len() > BATCHES && asked(latest) - latest[0].asked >= ITEMS {
                latest.pop_front();
            }
        }
    }

    /// The role in which the plugin failed on the largest share of its items over the latest batches, and that share: at
    /// least 10 batches and 100 items, or 20 of which it failed on all. A reader that reads well says nothing about its scores.
    /// `None` before there are as many.
    pub fn failure_rate(&self) -> Option<(Role, f64)> {
        let enough = |latest: &VecDeque<ItemCount>| {
            let least = if failed(latest) == asked(latest) { FAILED_ITEMS } else { ITEMS };
            latest.len() >= BATCHES && asked(latest) >= least
        };
        let rate = |latest: &VecDeque<ItemCount>| failed(latest) as f64 / asked(latest) as f64;
        let measured = self.latest.iter().filter(|(_, latest)| enough(latest));
        measured.map(|(role, latest)| (*role, rate(latest))).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Empties the windows of the failure rate: a plugin that was replaced or reconfigured is not judged by its
    /// predecessor's failures.
    pub fn reset_failure_rate(&mut self) {
        self.latest.clear();
    }
}

fn asked(latest: &VecDeque<ItemCount>) -> u64 {
    latest.iter().map(|count| count.asked).sum()
}

fn failed(latest: &VecDeque<ItemCount>) -> u64 {
    latest.iter().map(|count| count.failed).sum()
}

/// Failures by kind, for people: "panic 3, trap 1".
pub fn failure_counts<K: std::fmt::Display>(failures: &BTreeMap<K, u64>) -> String {
    failures.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(asked: u64, failed: u64) -> PluginStepStats {
        of_roles(&[(Role::Verifier, asked, failed)])
    }

    fn of_roles(counts: &[(Role, u64, u64)]) -> PluginStepStats {
        let items = counts.iter().map(|(role, asked, failed)| (*role, ItemCount { asked: *asked, failed: *failed }));
        PluginStepStats { items: items.collect(), ..PluginStepStats::default() }
    }

    /// A plugin that reads every completion and fails on every answer.
    #[test]
    fn a_role_that_always_fails_is_not_hidden_by_another() {
        let mut totals = PluginTotals::default();
        (0..10).for_each(|_| totals.add(&of_roles(&[(Role::Reader, 100, 0), (Role::Verifier, 10, 10)])));
        assert_eq!(totals.failure_rate(), Some((Role::Verifier, 1.0)));
        assert_eq!(totals.items, 1100);
    }

    #[test]
    fn the_failure_rate_covers_the_latest_batches() {
        let mut totals = PluginTotals::default();
        for _ in 0..9 {
            totals.add(&batch(50, 50));
            assert_eq!(totals.failure_rate(), None, "too few batches");
        }
        totals.add(&batch(50, 0));
        assert_eq!(totals.failure_rate(), Some((Role::Verifier, 0.9)));
        (0..9).for_each(|_| totals.add(&batch(50, 0)));
        assert_eq!(totals.failure_rate(), Some((Role::Verifier, 0.0)), "old batches leave the window");

        // Small batches: the window grows until it holds 100 items.
        let mut totals = PluginTotals::default();
        for _ in 0..49 {
            totals.add(&batch(2, 1));
            totals.add(&batch(0, 0));
            assert_eq!(totals.failure_rate(), None, "too few items");
        }
        totals.add(&batch(2, 1));
        assert_eq!(totals.failure_rate(), Some((Role::Verifier, 0.5)));
        (0..50).for_each(|_| totals.add(&batch(2, 2)));
        assert_eq!(totals.failure_rate(), Some((Role::Verifier, 1.0)));
    }

    #[test]
    fn a_plugin_that_always_fails_is_seen_after_twenty_items() {
        let mut totals = PluginTotals::default();
        (0..19).for_each(|_| totals.add(&of_roles(&[(Role::Objective, 1, 1)])));
        assert_eq!(totals.failure_rate(), None);
        totals.add(&of_roles(&[(Role::Objective, 1, 1)]));
        assert_eq!(totals.failure_rate(), Some((Role::Objective, 1.0)));
        totals.add(&of_roles(&[(Role::Objective, 1, 0)]));
        assert_eq!(totals.failure_rate(), None, "one success, and it takes 100 items");
    }
}
