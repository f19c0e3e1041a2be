//! Deadlines: the emergency stop behind the fuel of a component, and all that stops a library.

use std::time::{Duration, Instant};

use crate::failure::{Failure, FailureKind};
use crate::limits::Limits;

/// The deadline of a batch's calls.
///
/// A component's call has a deadline of its own, in processor time of its thread: a call that fuel ends fails the same way
/// however busy the machine is, and takes no time from the other items of its batch. A library has no fuel, so all its
/// calls on a batch share one deadline, in the time of the clock on the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    ms: u64,
    /// The end of a batch's deadline. `None` if each call has a deadline of its own.
    end: Option<Instant>,
}

impl Deadline {
    /// Returns the deadline of each call of a component.
    pub(crate) fn of_each_call(limits: &Limits) -> Self {
        Self { ms: limits.deadline_ms, end: None }
    }

    /// Starts the clock for all calls of a library on one batch.
    pub(crate) fn of_batch(limits: &Limits) -> Self {
        Self { ms: limits.deadline_ms, end: Instant::now().checked_add(Duration::from_millis(limits.deadline_ms)) }
    }

    /// Returns true if each call has a deadline of its own.
    pub(crate) fn is_of_each_call(self) -> bool {
        self.end.is_none()
    }

    /// Returns the time that a call has which starts now.
    pub(crate) fn remaining(self) -> Duration {
        let all = Duration::from_millis(self.ms);
        self.end.map_or(all, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Starts the clock of a component's call on this thread.
    pub(crate) fn start_call(self) -> CallClock {
        CallClock { start: processor_time(), limit: Duration::from_millis(self.ms) }
    }

    /// Returns the failure of a call that was stopped.
    pub(crate) fn exceeded(self) -> Failure {
        let of = if self.end.is_none() { " of processor time" } else { "" };
        Failure::new(FailureKind::Deadline, format!("ran past its deadline of {} ms{of}", self.ms))
    }

    /// Returns the failure of items for which no time was left.
    pub(crate) fn exhausted(self) -> Failure {
        let detail = format!("was not called: other calls of the batch used all {} ms of its deadline", self.ms);
        Failure::new(FailureKind::Deadline, detail)
    }
}

/// The clock of a component's call. It stands still while the call's thread does not run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallClock {
    start: Duration,
    limit: Duration,
}

impl CallClock {
    /// Returns the processor time that the call has left. Must be asked on the call's thread.
    pub(crate) fn left(self) -> Duration {
        self.limit.saturating_sub(processor_time().saturating_sub(self.start))
    }
}

/// Returns the processor time that this thread has used.
#[cfg(unix)]
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is that of a timespec which lives through the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every thread has a clock of its processor time");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Returns the time since the first call: this system's clocks of threads are too coarse.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_call_stands_still_while_its_thread_does_not_run() {
        let clock = Deadline::of_each_call(&Limits { deadline_ms: 60_000, ..Limits::default() }).start_call();
        let before = clock.left();
        std::thread::sleep(Duration::from_millis(100));
        assert!(before - clock.left() < Duration::from_millis(90), "sleeping is no processor time");
        let mut sum = 0u64;
        while before - clock.left() < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0, "the clock moves while the thread works");
    }
}
