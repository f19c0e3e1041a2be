//! Bisection of failing batches. A batch is called as a whole, because every call has a fixed cost. When a call fails, its
//! part of the batch is halved until the failing items stand alone: one bad item costs only itself.

use alft_sdk::call::Item;
use alft_sdk::roles::Batch;

use super::call::{BatchResult, Call, CallResult};
use super::deadline::Deadline;
use super::part::Part;
use super::size;
use crate::failure::{Failure, FailureKind};
use crate::limits::Limits;
use crate::validate;

/// A function that makes one call of a plugin, which ends at the deadline.
pub(crate) type CallFn<'a> = dyn Fn(&Batch<'_>, Deadline) -> CallResult + Sync + 'a;

/// Calls the plugin with a part of the batch and, if that fails, with the part's halves, down to single entries. Returns the
/// items of each entry of the part.
///
/// One bad entry of n costs about 2·log₂ n calls. An entry's failure is that of the call which had this entry alone, unless
/// a deadline came first that smaller parts would run past too.
pub(crate) fn bisect(
    batch: &Batch<'_>,
    part: Part,
    limits: &Limits,
    deadline: Deadline,
    call: &CallFn<'_>,
) -> BatchResult<Vec<Item>> {
    let count = part.len();
    if count == 0 {
        return BatchResult::default();
    }
    if deadline.remaining().is_zero() {
        return BatchResult::failed(&deadline.exhausted(), count);
    }
    let arguments = part.select(batch).expect("the part is within the batch");
    let CallResult { result, usage, log } = call(&arguments, deadline);
    let calls = vec![Call { part: part.clone(), outcome: result.clone(), fuel: usage.fuel }];
    match result.and_then(|output| validate::entries(&arguments, output)) {
        Ok(entries) => BatchResult { items: entries.into_iter().map(Ok).collect(), usage, log, calls },
        Err(failure) if count == 1 || !finds_the_bad(&failure, &arguments, limits, deadline) => {
            BatchResult { usage, log, calls, ..BatchResult::failed(&failure, count) }
        }
        Err(_) => {
            // The failed call's diagnostics are dropped: the halves repeat them.
            let mut halves = BatchResult { usage, calls, ..BatchResult::default() };
            part.halves().into_iter().for_each(|half| halves.extend(bisect(batch, half, limits, deadline, call)));
            halves
        }
    }
}

/// Bisects the entries that failed and have several texts, and returns the items of the whole batch.
pub(crate) fn bisect_texts(
    batch: &Batch<'_>,
    entries: BatchResult<Vec<Item>>,
    limits: &Limits,
    deadline: Deadline,
    call: &CallFn<'_>,
) -> BatchResult {
    let BatchResult { items, usage, log, calls } = entries;
    let mut result = BatchResult { items: Vec::with_capacity(batch.item_count()), usage, log, calls };
    for (at, (entry, count)) in items.into_iter().zip(batch.entries().item_counts()).enumerate() {
        match entry {
            Ok(items) => result.items.extend(items.into_iter().map(Ok)),
            Err(failure) if count < 2 || !bisects_entry(&failure, batch, at, limits, deadline) => {
                result.items.extend(BatchResult::failed(&failure, count).items);
            }
            Err(_) => {
                let texts = bisect(batch, Part::texts(at, 0..count), limits, deadline, call);
                result.extend(texts.map(|mut items| items.remove(0)));
            }
        }
    }
    result
}

/// Returns true if halves of a failed call can tell which of its items is the bad one.
///
/// A library that met its deadline has no time left, and the item that met it is chance. A component's halves have the same
/// time as the whole, and less fuel: where most of the fuel was granted for the bytes of the input, fuel ends the halves
/// before their deadline does.
fn finds_the_bad(failure: &Failure, arguments: &Batch<'_>, limits: &Limits, deadline: Deadline) -> bool {
    if failure.kind != FailureKind::Deadline {
        return true;
    }
    let bytes: usize = size::entry_bytes(arguments).iter().sum();
    deadline.is_of_each_call() && limits.fuel(bytes / 2) <= limits.fuel(bytes) / 4 * 3
}

/// Returns true if the texts of an entry that failed alone are called one by one.
fn bisects_entry(failure: &Failure, batch: &Batch<'_>, entry: usize, limits: &Limits, deadline: Deadline) -> bool {
    let arguments = Part::entries(entry..entry + 1).select(batch).expect("the batch has the entry");
    finds_the_bad(failure, &arguments, limits, deadline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::call::Usage;
    use alft_sdk::call::{Output, PromptTexts};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A batch of entries with one text each: its position.
    fn batch(count: usize) -> Batch<'static> {
        let entry = |at: usize| PromptTexts { prompt: Default::default(), texts: vec![at.to_string()] };
        Batch::Verifier((0..count).map(entry).collect())
    }

    fn texts(batch: &Batch<'_>) -> Vec<f64> {
        let Batch::Verifier(entries) = batch else { panic!("{batch:?}") };
        entries.iter().flat_map(|entry| &entry.texts).map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_the_bad_item_fails() {
        let calls = AtomicU64::new(0);
        let call = |batch: &Batch<'_>, _: Deadline| {
            calls.fetch_add(1, Ordering::Relaxed);
            let texts = texts(batch);
            let result = match texts.contains(&41.0) {
                true => Err(Failure::new(FailureKind::Panic, "41")),
                false => Ok(Output::Scores(texts.into_iter().map(|text| vec![text]).collect())),
            };
            CallResult {
                result,
                usage: Usage { calls: 1, fuel: 2, max_call_fuel: 2, ..Usage::default() },
                log: Vec::new(),
            }
        };
        let limits = Limits::default();
        let deadline = Deadline::of_batch(&limits);
        let result = bisect(&batch(64), Part::entries(0..64), &limits, deadline, &call);
        for (i, item) in result.items.iter().enumerate() {
            assert_eq!(item.is_err(), i == 41);
            assert!(item.as_ref().is_ok_and(|items| *items == [Item::Score(i as f64)]) || i == 41);
        }
        assert_eq!((calls.into_inner(), result.usage.calls, result.usage.fuel), (13, 13, 26), "1 + 2·log₂ 64");
        assert_eq!(result.calls.len(), 13);
        assert_eq!(result.calls[0].part.entries, 0..64);
        let failed = result.calls.iter().filter(|call| call.outcome.is_err()).map(|call| call.part.entries.len());
        assert_eq!(failed.collect::<Vec<_>>(), [64, 32, 16, 8, 4, 2, 1]);
    }

    #[test]
    fn entries_without_time_left_are_not_called() {
        let call = |_: &Batch<'_>, deadline: Deadline| {
            while !deadline.remaining().is_zero() {
                std::thread::yield_now();
            }
            let result = Err(Failure::new(FailureKind::Panic, "always"));
            CallResult { result, usage: Usage { calls: 1, ..Usage::default() }, log: Vec::new() }
        };
        let limits = Limits { deadline_ms: 100, ..Limits::default() };
        let deadline = Deadline::of_batch(&limits);
        let result = bisect(&batch(64), Part::entries(0..64), &limits, deadline, &call);
        assert_eq!(result.usage.calls, 1);
        assert_eq!(result.items.len(), 64);
        let last = result.items[63].as_ref().unwrap_err();
        assert!(last.kind == FailureKind::Deadline && last.detail.contains("was not called"), "{last}");
    }

    #[test]
    fn a_component_that_meets_its_deadline_is_bisected_while_fuel_can_decide() {
        // Entry 5 runs past the deadline with others, and out of fuel when it is alone.
        let call = |batch: &Batch<'_>, deadline: Deadline| {
            let texts = texts(batch);
            let result = match (texts.contains(&5.0), texts.len()) {
                (true, 1) => Err(Failure::new(FailureKind::OutOfFuel, "5")),
                (true, _) => Err(deadline.exceeded()),
                _ => Ok(Output::Scores(texts.into_iter().map(|text| vec![text]).collect())),
            };
            CallResult { result, usage: Usage { calls: 1, ..Usage::default() }, log: Vec::new() }
        };
        let failures = |limits: &Limits, deadline: Deadline| {
            let items = bisect(&batch(8), Part::entries(0..8), limits, deadline, &call).items;
            items.into_iter().map(|item| item.err().map(|failure| failure.kind)).collect::<Vec<_>>()
        };
        let by_bytes = Limits { fuel_base: 1, fuel_per_byte: 100, ..Limits::default() };
        let mut only_the_fifth = [None; 8];
        only_the_fifth[5] = Some(FailureKind::OutOfFuel);
        assert_eq!(failures(&by_bytes, Deadline::of_each_call(&by_bytes)), only_the_fifth);
        let endless = Limits { fuel_base: u64::MAX / 2, ..Limits::default() };
        for (limits, deadline) in
            [(&endless, Deadline::of_each_call(&endless)), (&by_bytes, Deadline::of_batch(&by_bytes))]
        {
            assert_eq!(failures(limits, deadline), [Some(FailureKind::Deadline); 8]);
        }
    }
}
