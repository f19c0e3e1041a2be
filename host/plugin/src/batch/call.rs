//! The results of calls: of a single call, and of all calls of a batch.

use std::time::Duration;

use alft_sdk::call::{Item, Output};
use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::failure::Failure;

/// The result of a batch: an item or a failure for each text or bundle, and the calls that were made for it.
#[derive(Debug, Clone)]
pub struct BatchResult<T = Item> {
    /// Results in the order of the batch.
    pub items: Vec<Result<T, Failure>>,
    /// Resources that all calls together used.
    pub usage: Usage,
    /// Lines of the plugin's diagnostics.
    pub log: Vec<String>,
    /// The calls, with their outputs as the plugin returned them, before validation.
    pub calls: Vec<Call>,
}

impl<T> Default for BatchResult<T> {
    fn default() -> Self {
        Self { items: Vec::new(), usage: Usage::default(), log: Vec::new(), calls: Vec::new() }
    }
}

impl<T> BatchResult<T> {
    /// Returns the same failure for `count` items, without any call.
    pub(crate) fn failed(failure: &Failure, count: usize) -> Self {
        Self { items: (0..count).map(|_| Err(failure.clone())).collect(), ..Self::default() }
    }

    /// Converts the items that have not failed.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> BatchResult<U> {
        let Self { items, usage, log, calls } = self;
        BatchResult { items: items.into_iter().map(|item| item.map(&mut convert)).collect(), usage, log, calls }
    }

    /// Appends the result of later items of the same batch.
    pub(crate) fn extend(&mut self, other: Self) {
        self.items.extend(other.items);
        self.usage.add(other.usage);
        self.log.extend(other.log);
        self.calls.extend(other.calls);
    }
}

/// Resources that calls used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Number of calls.
    pub calls: u64,
    /// Fuel of all calls: the same number for the same calls. 0 for native libraries, which are not metered.
    pub fuel: u64,
    /// Fuel of the call that used the most.
    pub max_call_fuel: u64,
    /// Linear memory of the largest instance, in bytes. 0 for native libraries.
    pub memory: usize,
    /// Wall-clock time of the calls, added up. Nothing but reports depends on it.
    pub time: Duration,
}

impl Usage {
    /// Adds the usage of other calls.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.fuel += other.fuel;
        self.max_call_fuel = self.max_call_fuel.max(other.max_call_fuel);
        self.memory = self.memory.max(other.memory);
        self.time += other.time;
    }

    /// Returns the usage of one call that is not metered.
    pub(crate) fn unmetered(time: Duration) -> Self {
        Self { calls: 1, time, ..Self::default() }
    }
}

/// One recorded call of a plugin.
// The order of the fields is part of the ledger's format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The part of the batch that the plugin was called with.
    pub part: Part,
    /// The plugin's output: bounded in size and otherwise not validated.
    pub outcome: Result<Output, Failure>,
    /// Fuel that the call used. 0 for native libraries.
    pub fuel: u64,
}

/// The result of a single call, not validated.
pub(crate) struct CallResult<T = Output> {
    pub(crate) result: Result<T, Failure>,
    pub(crate) usage: Usage,
    pub(crate) log: Vec<String>,
}
