//! The deadline of a batch.

use std::time::{Duration, Instant};

use crate::failure::{Failure, FailureKind};
use crate::limits::Limits;

/// The deadline of a batch. It covers all calls of the batch: a batch that is split, and bisected where a call fails, takes
/// no longer than a single call may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    ms: u64,
}

impl Deadline {
    /// Starts the clock.
    pub(crate) fn start(limits: &Limits) -> Self {
        Self { end: Instant::now() + Duration::from_millis(limits.deadline_ms), ms: limits.deadline_ms }
    }

    /// Returns the time until the deadline, or zero once the deadline has passed.
    pub(crate) fn remaining(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Returns the failure of a call that was stopped.
    pub(crate) fn exceeded(self) -> Failure {
        Failure::new(FailureKind::Deadline, format!("ran past its deadline of {} ms", self.ms))
    }

    /// Returns the failure of items for which no time was left.
    pub(crate) fn exhausted(self) -> Failure {
        let detail = format!("was not called: other calls of the batch used all {} ms of its deadline", self.ms);
        Failure::new(FailureKind::Deadline, detail)
    }
}
