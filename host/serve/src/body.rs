//! Bodies of requests, read within bounds of size, time and memory.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::refusal::Refusal;

/// Bytes of memory that a permit stands for.
const UNIT: usize = 4096;

/// The memory for the bodies of all requests.
#[derive(Debug)]
pub(crate) struct Bodies {
    free: Semaphore,
    max_body: usize,
    idle: Duration,
}

/// A body in memory.
pub(crate) struct Held<'a> {
    pub(crate) bytes: Vec<u8>,
    _memory: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    /// `max_body` is the size of the largest body in bytes, `idle` the time in which the next part of one has to come. All
    /// bodies together have 16 times the size of the largest one, and at least 256 MiB.
    pub(crate) fn new(max_body: usize, idle: Duration) -> Self {
        let total = max_body.saturating_mul(16).max(256 << 20);
        Self { free: Semaphore::new((total / UNIT).min(Semaphore::MAX_PERMITS)), max_body, idle }
    }

    /// Reads a body.
    pub(crate) async fn read(&self, mut body: Body) -> Result<Held<'_>, Refusal> {
        let most = self.max_body;
        if axum::body::HttpBody::size_hint(&body).lower() > most as u64 {
            return Err(Refusal::TooLarge { most });
        }
        let mut held = Held { bytes: Vec::new(), _memory: None };
        let mut reserved = 0;
        loop {
            let slow = |_| {
                Refusal::Timeout(format!("the next part of the body did not come within {} s", self.idle.as_secs()))
            };
            let Some(frame) = timeout(self.idle, body.frame()).await.map_err(slow)? else { return Ok(held) };
            let cut = |error| Refusal::BadRequest(format!("the body ended before its end: {error}"));
            let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
            if held.bytes.len() + data.len() > most {
                return Err(Refusal::TooLarge { most });
            }
            let needed = (held.bytes.len() + data.len()).div_ceil(UNIT);
            if needed > reserved {
                let more = u32::try_from(needed - reserved).unwrap_or(u32::MAX);
                let full = |_| Refusal::Busy("the bodies of other requests fill the memory for them".into());
                let more = self.free.try_acquire_many(more).map_err(full)?;
                match &mut held._memory {
                    Some(memory) => memory.merge(more),
                    none => *none = Some(more),
                }
                reserved = needed;
            }
            held.bytes.extend_from_slice(&data);
        }
    }
}
