//! When a plugin's time is up.

use std::time::{Duration, Instant};

use crate::{Failure, FailureKind, Limits};

/// The end of the time that a plugin has for a batch, whatever number of calls that takes: a batch that is split, and
/// taken apart where it fails, holds up a step no longer than a single call could.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    ms: u64,
}

impl Deadline {
    /// From now on.
    pub(crate) fn begin(limits: &Limits) -> Self {
        Self { end: Instant::now() + Duration::from_millis(limits.deadline_ms), ms: limits.deadline_ms }
    }

    /// None is left when it is over.
    pub(crate) fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Why a call was ended.
    pub(crate) fn missed(self) -> Failure {
        Failure::new(FailureKind::Deadline, format!("ran past its deadline of {} ms", self.ms))
    }

    /// Why a call was not made.
    pub(crate) fn over(self) -> Failure {
        let detail = format!("was not asked: other calls on the batch took the {} ms of its deadline", self.ms);
        Failure::new(FailureKind::Deadline, detail)
    }
}
