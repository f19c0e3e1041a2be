//! Large batches become several calls, spread over the cores.
//!
//! Where they are split depends on their bytes alone and never on the machine, so calls and fuel are the same
//! everywhere.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::batch::bisect::Called;

/// Guests run on these threads' stacks, which must be larger than [`crate::limits::MOST_STACK`].
const THREAD_STACK: usize = 4 << 20;

/// Consecutive ranges of entries, each of at most `most` bytes or of one entry.
pub(crate) fn split(sizes: impl Iterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let (mut ranges, mut bytes) = (Vec::<Range<usize>>::new(), 0usize);
    for (at, size) in sizes.enumerate() {
        match ranges.last_mut() {
            Some(range) if bytes.saturating_add(size) <= most => {
                range.end = at + 1;
                bytes += size;
            }
            _ => {
                ranges.push(at..at + 1);
                bytes = size;
            }
        }
    }
    ranges
}

/// Does the work for each range, on as many threads as there are cores, and puts the results together in order.
pub(crate) fn each<T: Send>(ranges: Vec<Range<usize>>, work: &(dyn Fn(Range<usize>) -> Called<T> + Sync)) -> Called<T> {
    // Asking costs some 20 µs, for it reads files of the system.
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut called = Called::default();
    if ranges.len() < 2 || *CORES < 2 {
        ranges.into_iter().for_each(|range| called.extend(work(range)));
        return called;
    }
    let results: Vec<Mutex<Option<Called<T>>>> = ranges.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < ranges.len()) {
            *results[at].lock().expect("nobody panics with it") = Some(work(ranges[at].clone()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..CORES.min(ranges.len()) {
            let thread = std::thread::Builder::new().name("alft-plugin".into()).stack_size(THREAD_STACK);
            // Where the system gives no thread, those that run do the work.
            let _ = thread.spawn_scoped(scope, run);
        }
        run();
    });
    for result in results {
        called.extend(result.into_inner().expect("nobody panics with it").expect("every range was done"));
    }
    called
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::bisect::Bill;

    #[test]
    fn ranges_keep_the_bytes_and_lose_no_entry() {
        assert_eq!(split([3, 3, 3, 9, 1, 1].into_iter(), 6), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(split([100, 100].into_iter(), 6), [0..1, 1..2], "an entry is never cut");
        assert_eq!(split([0, 0, 7].into_iter(), 6), [0..2, 2..3]);
        assert!(split(std::iter::empty(), 6).is_empty());
    }

    #[test]
    fn results_come_in_order() {
        let ranges: Vec<Range<usize>> = (0..50).map(|at| 2 * at..2 * at + 2).collect();
        let called = each(ranges, &|range| Called {
            items: range.map(Ok).collect(),
            bill: Bill { calls: 1, ..Bill::default() },
            ..Called::default()
        });
        assert!(called.items.into_iter().map(Result::unwrap).eq(0..100));
        assert_eq!(called.bill.calls, 50);
    }
}
