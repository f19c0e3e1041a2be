"""Waits between the attempts at a request."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Exponential back-off with jitter, at least as long as the server asks for."""

    # Attempts after the first one.
    retries: int = 6
    # Seconds before the first further attempt, doubled from one to the next.
    backoff: float = 0.5
    # Longest back-off, in seconds.
    max_backoff: float = 30.0
    # Longest `Retry-After` that is waited for, in seconds. A longer one is an error at once.
    max_retry_after: float = 300.0

    def wait(self, attempt: int, retry_after: float | None) -> float | None:
        """Returns the seconds to wait after the attempt with this number, from 0; None to give up."""
        if attempt >= self.retries or (retry_after is not None and retry_after > self.max_retry_after):
            return None
        # Many workers meet the same full queue: without jitter they would all come back in the same moment. The
        # exponent is bounded since a float has no 2.0 ** 1024.
        jittered = min(self.backoff * 2.0 ** min(attempt, 60), self.max_backoff) * random.uniform(0.5, 1.0)
        return jittered + (retry_after or 0.0)


def parse_retry_after(value: str | None) -> float | None:
    """Returns the seconds of a `Retry-After` header: a number or a date. None if there is none that can be read."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip())
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(date.timestamp() - time.time(), 0.0)
