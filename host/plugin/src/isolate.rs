//! A call takes a whole batch, for a call has a price of its own. When it fails, the batch is taken apart until what
//! failed stands alone: one bad sample costs that sample.

use std::time::Duration;

use crate::{Failure, FailureKind};

/// What calls used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bill {
    /// Calls made.
    pub calls: u64,
    /// Fuel used: the same number for the same calls. 0 for native libraries, which are not metered.
    pub fuel: u64,
    /// Wall-clock time, for people; nothing depends on it.
    pub time: Duration,
}

impl Bill {
    /// Adds another bill to this one.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.fuel += other.fuel;
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
}

/// One call: the values of all items, or one failure.
pub(crate) struct Attempt<T> {
    pub(crate) result: Result<Vec<T>, Failure>,
    pub(crate) bill: Bill,
    pub(crate) log: Vec<String>,
}

/// Calls over the whole batch, and over halves of what fails, down to single items.
///
/// Halving finds one bad item of n in about 2·log₂ n calls. A failure in a half that is bigger than one item is only a
/// hint; the failure kept is the one that the item gives alone.
pub(crate) fn isolate<I, T>(batch: &[I], call: &dyn Fn(&[I]) -> Attempt<T>) -> Called<T> {
    if batch.is_empty() {
        return Called { items: Vec::new(), bill: Bill::default(), log: Vec::new() };
    }
    let attempt = call(batch);
    match attempt.result {
        Ok(values) => Called { items: values.into_iter().map(Ok).collect(), bill: attempt.bill, log: attempt.log },
        // A deadline is chance and costs its whole length each time: halving would multiply the stall.
        Err(failure) if batch.len() == 1 || failure.kind == FailureKind::Deadline => {
            let items = batch.iter().map(|_| Err(failure.clone())).collect();
            Called { items, bill: attempt.bill, log: attempt.log }
        }
        Err(_) => {
            let (left, right) = batch.split_at(batch.len() / 2);
            // The failed call's own lines are dropped: they come again with the halves.
            let mut called = isolate(left, call);
            let right = isolate(right, call);
            called.items.extend(right.items);
            called.log.extend(right.log);
            called.bill.add(attempt.bill);
            called.bill.add(right.bill);
            called
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn only_the_bad_item_fails() {
        let calls = Cell::new(0);
        let called = isolate(&(0..64).collect::<Vec<i32>>(), &|batch| {
            calls.set(calls.get() + 1);
            let result = match batch.contains(&41) {
                true => Err(Failure::new(FailureKind::Panic, "41")),
                false => Ok(batch.iter().map(|i| i * 2).collect()),
            };
            Attempt { result, bill: Bill { calls: 1, ..Bill::default() }, log: Vec::new() }
        });
        for (i, item) in called.items.iter().enumerate() {
            assert_eq!(item.is_err(), i == 41);
            assert!(item.as_ref().is_ok_and(|v| *v == 2 * i as i32) || i == 41);
        }
        assert_eq!((calls.get(), called.bill.calls), (13, 13), "1 + 2·log₂ 64");
    }
}
