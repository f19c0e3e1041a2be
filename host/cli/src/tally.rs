//! What each plugin has done over a run: its bill, its failures, and whether they are too many.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::deeds::Deeds;

/// What a plugin has done so far. It is part of the saved state, so a resumed run goes on counting.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    /// Completions read, answers verified, bundles priced.
    pub(crate) items: u64,
    pub(crate) fuel: u64,
    /// Fuel of the dearest call.
    pub(crate) dearest: u64,
    /// Wall-clock time within the plugin.
    pub(crate) seconds: f64,
    /// Failures by kind.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Items and failures of the latest batches, oldest first: the window of [`Tally::rate`].
    latest: VecDeque<(u64, u64)>,
}

/// A failure rate is taken over at least so many batches: a single one that ran past its deadline fails whole, and a
/// busy machine must not end a run.
const BATCHES: usize = 10;

/// And over at least so many items: a plugin that fails on a quarter of its items is seen failing on more than half of
/// 100 less than once in ten million windows.
const ITEMS: u64 = 100;

impl Tally {
    /// Adds what the plugin did with a batch.
    pub(crate) fn book(&mut self, deeds: &Deeds) {
        self.calls += deeds.calls;
        self.items += deeds.items;
        self.fuel += deeds.fuel;
        self.dearest = self.dearest.max(deeds.dearest);
        self.seconds += deeds.time.as_secs_f64();
        for (kind, (count, _)) in &deeds.failures {
            *self.failures.entry((*kind).to_owned()).or_default() += count;
        }
        if deeds.items > 0 {
            self.latest.push_back((deeds.items, deeds.failed));
        }
        while self.latest.len() > BATCHES && self.seen() - self.latest[0].0 >= ITEMS {
            self.latest.pop_front();
        }
    }

    /// The share of items that failed, over the latest batches: 10 at least, and as many more as 100 items take. `None`
    /// before there are so many.
    pub(crate) fn rate(&self) -> Option<f64> {
        let failed: u64 = self.latest.iter().map(|(_, failed)| failed).sum();
        (self.latest.len() >= BATCHES && self.seen() >= ITEMS).then(|| failed as f64 / self.seen() as f64)
    }

    /// Forgets the window of the rate: a plugin that was mended is not judged by what it was before.
    pub(crate) fn begin_anew(&mut self) {
        self.latest.clear();
    }

    fn seen(&self) -> u64 {
        self.latest.iter().map(|(items, _)| items).sum()
    }
}

/// Failures by kind, for people: "panic 3, trap 1".
pub(crate) fn kinds<K: std::fmt::Display>(failures: &BTreeMap<K, u64>) -> String {
    failures.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(items: u64, failed: u64) -> Deeds {
        let mut deeds = Deeds::default();
        (deeds.items, deeds.failed) = (items, failed);
        deeds
    }

    #[test]
    fn the_rate_is_of_the_latest_batches() {
        let mut tally = Tally::default();
        for _ in 0..9 {
            tally.book(&batch(50, 50));
            assert_eq!(tally.rate(), None, "too few batches to say");
        }
        tally.book(&batch(50, 0));
        assert_eq!(tally.rate(), Some(0.9));
        (0..9).for_each(|_| tally.book(&batch(50, 0)));
        assert_eq!(tally.rate(), Some(0.0), "what is long ago is forgiven");

        // Small batches: more of them, until there are 100 items.
        let mut tally = Tally::default();
        for _ in 0..49 {
            tally.book(&batch(2, 1));
            tally.book(&batch(0, 0));
            assert_eq!(tally.rate(), None, "too few items to say");
        }
        tally.book(&batch(2, 1));
        assert_eq!(tally.rate(), Some(0.5));
        (0..50).for_each(|_| tally.book(&batch(2, 2)));
        assert_eq!(tally.rate(), Some(1.0));
    }
}
