//! Large batches become several calls, which run in parallel.
//!
//! A batch is split by the bytes of its entries alone, never by the machine, so calls and fuel are the same everywhere.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use super::call::BatchResult;

/// Stack of the threads, in bytes. Components run on it, so it must be larger than [`crate::limits::MAX_STACK`].
const THREAD_STACK: usize = 4 << 20;

/// Splits a batch into ranges of consecutive entries, each of at most `max_bytes` bytes or of one entry.
pub(crate) fn split(entry_bytes: &[usize], max_bytes: usize) -> Vec<Range<usize>> {
    let (mut ranges, mut bytes) = (Vec::<Range<usize>>::new(), 0usize);
    for (at, size) in entry_bytes.iter().enumerate() {
        match ranges.last_mut() {
            Some(range) if bytes.saturating_add(*size) <= max_bytes => {
                range.end = at + 1;
                bytes += size;
            }
            _ => {
                ranges.push(at..at + 1);
                bytes = *size;
            }
        }
    }
    ranges
}

/// Runs `work` on each range, on as many threads as the machine has cores, and joins the results in order.
pub(crate) fn map<T: Send>(
    ranges: Vec<Range<usize>>,
    work: &(dyn Fn(Range<usize>) -> BatchResult<T> + Sync),
) -> BatchResult<T> {
    // Cached: the query reads files of the system and takes some 20 µs.
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    if ranges.len() < 2 || *CORES < 2 {
        return map_in_order(ranges, work);
    }
    let results: Vec<Mutex<Option<BatchResult<T>>>> = ranges.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < ranges.len()) {
            *results[at].lock().expect("no thread panics while it holds the lock") = Some(work(ranges[at].clone()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..CORES.min(ranges.len()) {
            let thread = std::thread::Builder::new().name("alft-plugin".into()).stack_size(THREAD_STACK);
            // If no thread can be started, those that run do the work.
            let _ = thread.spawn_scoped(scope, run);
        }
        run();
    });
    let mut joined = BatchResult::default();
    for result in results {
        let result = result.into_inner().expect("no thread panics while it holds the lock");
        joined.extend(result.expect("every range was worked on"));
    }
    joined
}

/// Runs `work` on one range after another.
pub(crate) fn map_in_order<T>(
    ranges: Vec<Range<usize>>,
    work: &dyn Fn(Range<usize>) -> BatchResult<T>,
) -> BatchResult<T> {
    let mut joined = BatchResult::default();
    ranges.into_iter().for_each(|range| joined.extend(work(range)));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::call::Usage;

    #[test]
    fn ranges_respect_the_limit_and_lose_no_entry() {
        assert_eq!(split(&[3, 3, 3, 9, 1, 1], 6), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(split(&[100, 100], 6), [0..1, 1..2], "an entry is never split");
        assert_eq!(split(&[0, 0, 7], 6), [0..2, 2..3]);
        assert!(split(&[], 6).is_empty());
    }

    #[test]
    fn results_come_in_the_order_of_the_batch() {
        let ranges: Vec<Range<usize>> = (0..50).map(|at| 2 * at..2 * at + 2).collect();
        let result = map(ranges, &|range| BatchResult {
            items: range.map(Ok).collect(),
            usage: Usage { calls: 1, ..Usage::default() },
            ..BatchResult::default()
        });
        assert!(result.items.into_iter().map(Result::unwrap).eq(0..100));
        assert_eq!(result.usage.calls, 50);
    }
}
