"""A circuit breaker: after failures in a row nobody is let through for a while, then one, to try."""

import time
from collections.abc import Callable


class Open(Exception):
    """Nobody is let through; after `retry_after_s` seconds it is worth asking again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"open for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class Breaker:
    """Judges a partner by how it answered those let through: `ticket = enter()`, then `leave(ticket, ...)`.

    Closed, it counts failures in a row; at `threshold` it opens for `open_s` seconds. After that it is half
    open: one is let through, and how that one fares closes or opens it.
    """

    def __init__(self, threshold: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = threshold
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._is_probed = False
        self._era = 0

    def enter(self) -> int:
        """Be let through; returns the ticket to leave with. Raises `Open`."""
        if self._open_until is not None:
            left = self._open_until - self._clock()
            if left > 0 or self._is_probed:
                raise Open(max(left, 0.0))
            self._is_probed = True
            self._era += 1
        return self._era

    def leave(self, ticket: int, answered: bool | None) -> None:
        """Say how it went: whether there was an answer, be it a refusal; None if that was not waited for.

        Whoever was let through before the breaker last opened has nothing new to say, and is not heard.
        """
        if ticket != self._era:
            return
        was_probe, self._is_probed = self._is_probed, False
        if answered:
            self._failures, self._open_until = 0, None
        elif answered is False:
            self._failures += 1
            if was_probe or self._failures >= self._threshold:
                self._failures, self._open_until = 0, self._clock() + self._open_s
                self._era += 1
