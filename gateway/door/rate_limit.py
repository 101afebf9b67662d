"""How often one caller may ask: a token bucket per caller, kept as one number each (GCRA)."""

import math

from shared.errors import TooMany

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
MOST_CALLERS = 20_000
"""Callers remembered at once; beyond it the idle and then the oldest are forgotten, so memory is bounded."""


class RateLimit:
    """At most `limit` requests per `period` seconds and caller; unused ones are saved up to `limit`.

    Each process counts for itself: with N gateways a caller may get up to N times the limit.
    """

    def __init__(self, limit: int, period: float) -> None:
        self._step = period / limit
        self._burst = period - self._step
        self._free_at: dict[str, float] = {}

    def take(self, caller: str, now: float) -> None:
        """Count one request of `caller` at `now` (seconds on any steady clock).

        Raises `TooMany` with the seconds after which the next one is allowed.
        """
        free_at = max(self._free_at.get(caller, now), now)
        wait = free_at - self._burst - now
        if wait > 1e-9:
            raise TooMany("You ask more often than is allowed.", retry_after=max(1, math.ceil(wait)))
        if caller not in self._free_at and len(self._free_at) >= MOST_CALLERS:
            self._forget(now)
        self._free_at[caller] = free_at + self._step

    def _forget(self, now: float) -> None:
        self._free_at = {caller: free_at for caller, free_at in self._free_at.items() if free_at > now}
        room = MOST_CALLERS * 9 // 10  # some room at once, so that a crowd does not sweep at each request
        for caller in list(self._free_at)[: max(0, len(self._free_at) - room)]:
            del self._free_at[caller]


def parse_rate(text: str) -> RateLimit | None:
    """`600/minute` (as `GatewaySettings.rate_limit` allows it) as a limit; None for the empty text."""
    if not text:
        return None
    count, _, unit = text.partition("/")
    return RateLimit(int(count), _SECONDS[unit])
