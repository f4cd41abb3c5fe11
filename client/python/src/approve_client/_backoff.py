"""How long to wait before the next try."""

from __future__ import annotations


class Backoff:
    """A random time between ``shortest`` and a bound that doubles with each failure, up to ``longest``.

    Times are in seconds. The randomness comes from outside.
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = min(shortest, longest)
        self._longest = longest
        self._failures = 0

    def reset(self) -> None:
        """Forgets the failures so far."""
        self._failures = 0

    def next(self, jitter: float, hint: float | None = None) -> float:
        """Counts a failure.

        ``jitter`` is in 0..=1; ``hint`` is what the server asked for, which is kept to where it is within bounds.
        """
        self._failures = min(self._failures + 1, 31)
        bound = min(self._shortest * 2.0**self._failures, self._longest)
        delay = self._shortest + (bound - self._shortest) * min(max(jitter, 0.0), 1.0)
        return min(max(delay, hint or 0.0, self._shortest), self._longest)
