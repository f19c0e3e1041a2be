//! What a plugin did in a step: its calls, its bill, its failures.

use std::collections::BTreeMap;
use std::time::Duration;

use alft_plugin_host::isolate::Call;
use alft_plugin_host::ledger::Input;
use alft_plugin_host::{Called, Failure};
use alft_sdk::bundle::Prompt;

use crate::bounded::Bounded;
use crate::mean::Mean;

/// What a plugin did in a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    pub(crate) calls: u64,
    /// Completions, answers and bundles that it was asked about.
    pub(crate) items: u64,
    /// Items without a value.
    pub(crate) failed: u64,
    pub(crate) fuel: u64,
    /// Fuel of the dearest call.
    pub(crate) dearest: u64,
    /// Each sample's share of the fuel, in the order of bundles, prompts, samples. What the items of a batch took is
    /// metered together, so it is shared out: by the bytes of each item's prompt and text, as fuel itself is granted by
    /// bytes, and within an item equally over the samples that it stands for. What was asked about answers that only the
    /// target remembers is no sample's.
    pub(crate) shares: Vec<f64>,
    pub(crate) time: Duration,
    /// Failures by kind: how many, and the first one with where it came.
    pub(crate) failures: BTreeMap<&'static str, (u64, String)>,
    /// Lines of diagnostics.
    pub(crate) log: Vec<String>,
    /// What a loaded plugin was asked, and the calls that it took: for the ledger.
    pub(crate) plays: Vec<(Input<'static>, Vec<Call>)>,
    /// Of the samples' unweighted rewards.
    pub(crate) reward: Mean,
    /// Of the bundles' utilities.
    pub(crate) utility: Mean,
    /// Of the bundles' violations.
    pub(crate) violation: Mean,
}

impl Deeds {
    /// Books a call over items that `of` tells apart for people, and that stand for these `samples` each.
    pub(crate) fn take<T: Bounded>(
        &mut self,
        called: Called<T>,
        input: impl FnOnce() -> Input<'static>,
        samples: &[Stands],
        of: impl Fn(usize) -> String,
    ) -> Vec<Result<T, Failure>> {
        let items: Vec<_> = called.items.into_iter().map(|item| item.and_then(Bounded::bounded)).collect();
        self.calls += called.bill.calls;
        self.items += items.len() as u64;
        self.failed += items.iter().filter(|item| item.is_err()).count() as u64;
        self.fuel += called.bill.fuel;
        self.dearest = self.dearest.max(called.bill.dearest);
        self.time += called.bill.time;
        self.log.extend(called.log);
        self.share(called.bill.fuel, samples);
        if !called.calls.is_empty() {
            self.plays.push((input(), called.calls));
        }
        for (at, item) in items.iter().enumerate() {
            if let Err(failure) = item {
                self.fail(failure.kind.name(), || format!("{}: {failure}", of(at)));
            }
        }
        items
    }

    fn share(&mut self, fuel: u64, items: &[Stands]) {
        let bytes: usize = items.iter().map(|item| item.bytes).sum();
        for Stands { bytes: own, samples } in items {
            let share = fuel as f64 * *own as f64 / bytes as f64 / samples.len() as f64;
            for &sample in samples {
                if self.shares.len() <= sample {
                    self.shares.resize(sample + 1, 0.0);
                }
                self.shares[sample] += share;
            }
        }
    }

    pub(crate) fn fail(&mut self, kind: &'static str, first: impl Fn() -> String) {
        self.failures.entry(kind).or_insert_with(|| (0, first())).0 += 1;
    }

    pub(crate) fn reward(&mut self, rewards: &[Option<f64>]) {
        rewards.iter().flatten().for_each(|reward| self.reward.add(*reward));
    }
}

/// An item of a batch: its size, and the samples of the step that it stands for.
pub(crate) struct Stands {
    pub(crate) bytes: usize,
    pub(crate) samples: Vec<usize>,
}

impl Stands {
    pub(crate) fn of(prompt: &Prompt, text: &str, samples: Vec<usize>) -> Self {
        // Metadata is a JSON object: no item is without a byte.
        Self { bytes: prompt.text.len() + prompt.metadata.len() + text.len(), samples }
    }
}
