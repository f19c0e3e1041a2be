//! The time of each operation, recorded on request.
//!
//! An operation holds a guard of [`time`] while it runs. Without a recording a guard costs one load of an atomic.
//! Operations call each other (the head contains products), so a guard counts the time of its own operation without that
//! of the guards within it: the times of a recording on one thread add up to no more than its wall time.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use candle_core::Device;
use serde::Serialize;

static RECORDING: AtomicBool = AtomicBool::new(false);
static RECORDER: Mutex<Recorder> = Mutex::new(Recorder { operations: BTreeMap::new(), device: None });
/// Held for the length of a recording: two at once would share their numbers.
static ONE_RECORDING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Time of the guards that began and ended within the guard that is open on this thread.
    static WITHIN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

struct Recorder {
    /// Calls and time by operation.
    operations: BTreeMap<&'static str, (u64, Duration)>,
    /// The device that is waited for at the ends of a guard: work on a GPU goes on after the call returns.
    device: Option<Device>,
}

/// The time that an operation took in all its calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationTime {
    /// The operation, for example `linear`.
    pub operation: &'static str,
    /// Number of calls.
    pub calls: u64,
    /// Wall time in seconds, without that of other operations within it.
    pub seconds: f64,
    /// Share of the recording's wall time.
    pub share: f64,
}

/// Runs `work` and returns its result with the operations that it ran, longest first. On a GPU every operation is waited
/// for, so the whole takes longer than it does unrecorded.
pub(crate) fn record<T>(device: &Device, work: impl FnOnce() -> T) -> (T, Vec<OperationTime>) {
    let _one = ONE_RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    {
        let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.operations.clear();
        recorder.device = (!device.is_cpu()).then(|| device.clone());
    }
    RECORDING.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let result = work();
    let total = started.elapsed().as_secs_f64();
    RECORDING.store(false, Ordering::SeqCst);
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    recorder.device = None;
    let times = std::mem::take(&mut recorder.operations).into_iter().map(|(operation, (calls, time))| {
        let seconds = time.as_secs_f64();
        OperationTime { operation, calls, seconds, share: seconds / total }
    });
    let mut times: Vec<OperationTime> = times.collect();
    times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    (result, times)
}

/// Returns true while operations are recorded.
pub(crate) fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed)
}

/// Begins an operation. Its time ends when the guard is dropped; `None` without a recording.
pub(crate) fn time(operation: &'static str) -> Option<Timer> {
    is_recording().then(|| {
        wait_for_device();
        Timer { operation, outside: WITHIN.replace(Duration::ZERO), started: Instant::now() }
    })
}

/// The guard of an operation.
pub(crate) struct Timer {
    operation: &'static str,
    /// Time within the enclosing guard before this one began.
    outside: Duration,
    started: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        wait_for_device();
        let whole = self.started.elapsed();
        let within = WITHIN.replace(self.outside + whole);
        let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, time) = recorder.operations.entry(self.operation).or_default();
        *calls += 1;
        *time += whole.saturating_sub(within);
    }
}

fn wait_for_device() {
    let device = RECORDER.lock().unwrap_or_else(PoisonError::into_inner).device.clone();
    if let Some(device) = device {
        // A device that fails also fails the operation itself, which reports it.
        let _ = device.synchronize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(length: Duration) {
        let started = Instant::now();
        while started.elapsed() < length {}
    }

    #[test]
    fn time_is_counted_once_and_for_the_innermost_operation() {
        let millis = Duration::from_millis;
        let (result, times) = record(&Device::Cpu, || {
            let _outer = time("test outer");
            for _ in 0..3 {
                let _inner = time("test inner");
                spin(millis(8));
            }
            spin(millis(2));
            5
        });
        assert_eq!(result, 5);
        let of = |name| times.iter().find(|time| time.operation == name).unwrap();
        let (outer, inner) = (of("test outer"), of("test inner"));
        assert_eq!((outer.calls, inner.calls), (1, 3));
        assert!(inner.seconds >= 0.024 && outer.seconds >= 0.002);
        assert!(outer.share + inner.share <= 1.0, "{times:?}");
    }

    #[test]
    fn without_a_recording_there_is_no_guard() {
        let _one = ONE_RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(time("test").is_none());
    }
}
