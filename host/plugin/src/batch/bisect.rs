//! A call takes a whole batch, for a call has a price of its own. When it fails, the batch is taken apart until what
//! failed stands alone: one bad sample costs that sample.

use std::ops::Range;
use std::time::Duration;

use alft_sdk::bundle::Valuation;
use serde::{Deserialize, Serialize};

use crate::batch::deadline::Deadline;
use crate::{Failure, FailureKind};

/// What calls used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bill {
    /// Calls made.
    pub calls: u64,
    /// Fuel used: the same number for the same calls. 0 for native libraries, which are not metered.
    pub fuel: u64,
    /// Fuel of the dearest call.
    pub dearest: u64,
    /// Linear memory of the largest instance, in bytes; 0 for native libraries.
    pub memory: usize,
    /// Wall-clock time of the calls, added up; for people, nothing depends on it.
    pub time: Duration,
}

impl Bill {
    /// Adds another bill to this one.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.fuel += other.fuel;
        self.dearest = self.dearest.max(other.dearest);
        self.memory = self.memory.max(other.memory);
        self.time += other.time;
    }
}

/// A value for each item, what they cost, and what the plugin said.
#[derive(Debug, Clone)]
pub struct Called<T> {
    /// In the order of the batch.
    pub items: Vec<Result<T, Failure>>,
    /// Over all calls it took.
    pub bill: Bill,
    /// The plugin's diagnostics.
    pub log: Vec<String>,
    /// The calls one by one, as they were answered: before anything was checked.
    pub calls: Vec<Call>,
}

impl<T> Default for Called<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bill: Bill::default(), log: Vec::new(), calls: Vec::new() }
    }
}

impl<T> Called<T> {
    /// Appends what was called for later items.
    pub(crate) fn extend(&mut self, other: Self) {
        self.items.extend(other.items);
        self.bill.add(other.bill);
        self.log.extend(other.log);
        self.calls.extend(other.calls);
    }
}

/// One call of a plugin: on which part of the batch, what came back, and the fuel it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// What of the batch it was about.
    pub part: Part,
    /// What the plugin answered: bounded in size, and otherwise unchecked.
    pub outcome: Result<Output, Failure>,
    /// 0 for native libraries.
    pub fuel: u64,
}

/// A part of a batch: some of its entries, or some texts of one entry, each asked as an entry of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Positions in the batch.
    pub entries: Range<usize>,
    /// Positions among the texts of the one entry, where it was taken apart.
    pub texts: Option<Range<usize>>,
}

/// What the three calls of the contract return.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// `reader.read`.
    Keys(Vec<Vec<Option<String>>>),
    /// `verifier.score`.
    Scores(Vec<Vec<f64>>),
    /// `objective.evaluate`.
    Valuations(Vec<Valuation>),
}

/// What a role returns for one entry of a batch.
pub(crate) trait Entry: Clone + Sized {
    fn output(entries: &[Self]) -> Output;
    /// What it takes to keep it, about.
    fn bytes(&self) -> usize;
}

impl Entry for Vec<Option<String>> {
    fn output(entries: &[Self]) -> Output {
        Output::Keys(entries.to_vec())
    }

    fn bytes(&self) -> usize {
        self.iter().map(|key| 8 + key.as_ref().map_or(0, String::len)).sum()
    }
}

impl Entry for Vec<f64> {
    fn output(entries: &[Self]) -> Output {
        Output::Scores(entries.to_vec())
    }

    fn bytes(&self) -> usize {
        8 * self.len()
    }
}

impl Entry for Valuation {
    fn output(entries: &[Self]) -> Output {
        Output::Valuations(entries.to_vec())
    }

    fn bytes(&self) -> usize {
        self.rewards.iter().map(|rewards| 8 + 8 * rewards.len()).sum()
    }
}

/// One call: the values of all entries, or one failure.
pub(crate) struct Attempt<T> {
    pub(crate) result: Result<Vec<T>, Failure>,
    pub(crate) bill: Bill,
    pub(crate) log: Vec<String>,
}

impl<T> Attempt<T> {
    /// Refuses what does not have one entry for each that was asked.
    fn one_each(mut self, wanted: usize) -> Self {
        if let Ok(values) = &self.result
            && values.len() != wanted
        {
            let detail = format!("{} results for {wanted} entries", values.len());
            self.result = Err(Failure::new(FailureKind::Shape, detail));
        }
        self
    }
}

/// Calls over the entries in `range`, and over halves of what fails, down to single ones, as long as there is time. `check`
/// refuses a result that does not fit its entry's shape.
///
/// Halving finds one bad item of n in about 2·log₂ n calls. A failure in a half that is bigger than one item is only a
/// hint; the failure kept is the one that the item gives alone.
pub(crate) fn isolate<I, T: Entry>(
    batch: &[I],
    range: Range<usize>,
    deadline: Deadline,
    part: &dyn Fn(Range<usize>) -> Part,
    call: &dyn Fn(&[I]) -> Attempt<T>,
    check: &dyn Fn(&I, &T) -> Result<(), Failure>,
) -> Called<T> {
    if range.is_empty() {
        return Called::default();
    }
    let entries = &batch[range.clone()];
    if deadline.left().is_zero() {
        return Called { items: entries.iter().map(|_| Err(deadline.over())).collect(), ..Called::default() };
    }
    let attempt = call(entries);
    let outcome = attempt.result.as_ref().map(|values| T::output(values)).map_err(Clone::clone);
    let mut calls = vec![Call { part: part(range.clone()), outcome, fuel: attempt.bill.fuel }];
    let attempt = attempt.one_each(entries.len());
    let fits = |values: Vec<T>| match entries.iter().zip(&values).try_for_each(|(entry, value)| check(entry, value)) {
        Ok(()) => Ok(values),
        Err(failure) => Err(failure),
    };
    match attempt.result.and_then(fits) {
        Ok(values) => {
            Called { items: values.into_iter().map(Ok).collect(), bill: attempt.bill, log: attempt.log, calls }
        }
        // Where a deadline stopped it is chance, and no time is left to find out more.
        Err(failure) if entries.len() == 1 || failure.kind == FailureKind::Deadline => {
            let items = entries.iter().map(|_| Err(failure.clone())).collect();
            Called { items, bill: attempt.bill, log: attempt.log, calls }
        }
        Err(_) => {
            let middle = range.start + range.len() / 2;
            // The failed call's own lines are dropped: they come again with the halves.
            let mut called = Called { items: Vec::new(), bill: attempt.bill, log: Vec::new(), calls: Vec::new() };
            called.calls.append(&mut calls);
            called.extend(isolate(batch, range.start..middle, deadline, part, call, check));
            called.extend(isolate(batch, middle..range.end, deadline, part, call, check));
            called
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use std::cell::Cell;
    use std::time::Duration;

    #[test]
    fn only_the_bad_item_fails() {
        let count = Cell::new(0);
        let batch: Vec<usize> = (0..64).collect();
        let part = |entries| Part { entries, texts: None };
        let call = |batch: &[usize]| {
            count.set(count.get() + 1);
            let result = match batch.contains(&41) {
                true => Err(Failure::new(FailureKind::Panic, "41")),
                false => Ok(batch.iter().map(|i| vec![*i as f64]).collect()),
            };
            Attempt { result, bill: Bill { calls: 1, fuel: 2, dearest: 2, ..Bill::default() }, log: Vec::new() }
        };
        let deadline = Deadline::begin(&Limits::default());
        let called = isolate(&batch, 0..64, deadline, &part, &call, &|_, _| Ok(()));
        for (i, item) in called.items.iter().enumerate() {
            assert_eq!(item.is_err(), i == 41);
            assert!(item.as_ref().is_ok_and(|v| *v == [i as f64]) || i == 41);
        }
        assert_eq!((count.get(), called.bill.calls, called.bill.fuel), (13, 13, 26), "1 + 2·log₂ 64");
        assert_eq!(called.calls.len(), 13);
        assert_eq!(called.calls[0].part.entries, 0..64);
        let failed = called.calls.iter().filter(|call| call.outcome.is_err()).map(|call| call.part.entries.len());
        assert_eq!(failed.collect::<Vec<_>>(), [64, 32, 16, 8, 4, 2, 1]);
    }

    #[test]
    fn what_there_is_no_time_for_is_not_asked() {
        let part = |entries| Part { entries, texts: None };
        let call = |_: &[usize]| {
            std::thread::sleep(Duration::from_millis(5));
            Attempt::<Vec<f64>> {
                result: Err(Failure::new(FailureKind::Panic, "always")),
                bill: Bill { calls: 1, ..Bill::default() },
                log: Vec::new(),
            }
        };
        let deadline = Deadline::begin(&Limits { deadline_ms: 40, ..Limits::default() });
        let called = isolate(&[0; 64], 0..64, deadline, &part, &call, &|_, _| Ok(()));
        assert!(called.bill.calls <= 8, "{} calls of 5 ms or more", called.bill.calls);
        assert_eq!(called.items.len(), 64);
        let last = called.items[63].as_ref().unwrap_err();
        assert!(last.kind == FailureKind::Deadline && last.detail.contains("was not asked"), "{last}");
    }
}
