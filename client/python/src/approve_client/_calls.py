"""When a call that failed is sent again."""

from __future__ import annotations

import grpc

from ._backoff import Backoff
from ._errors import Error

_ATTEMPTS = 6
_BACKOFF_MIN = 0.05
_BACKOFF_MAX = 5.0


class Attempts:
    """The attempts of one call within its deadline. Times are in seconds, of one monotonic clock.

    ``safe``: done twice, it counts once. Other calls are sent again only where the server refused to look at them.
    """

    def __init__(self, deadline: float, safe: bool) -> None:
        self.deadline = deadline
        self._safe = safe
        self._backoff = Backoff(_BACKOFF_MIN, _BACKOFF_MAX)
        self._failed = 0

    def after(self, error: Error, now: float, jitter: float) -> float | None:
        """Counts a failure; returns how long to wait before the next attempt, or ``None`` where there is none."""
        self._failed += 1
        if not self._may_repeat(error):
            return None
        delay = self._backoff.next(jitter, error.retry_delay)
        return None if self._failed == _ATTEMPTS or now + delay >= self.deadline else delay

    def _may_repeat(self, error: Error) -> bool:
        if error.code is grpc.StatusCode.UNAVAILABLE:
            return self._safe
        # A limit is checked before anything else is done.
        return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_delay is not None
