"""How often one caller may ask, at all gateways together: a token bucket each, kept as one number (GCRA).

Each gateway counts by itself and tells the others: once a second, and at once when it has let in so many of
one caller that all together might let in too many. What others tell counts as if it had been asked here.
Numbers grow old by themselves: what a gateway has told before it died holds nobody's quota longer than any
other request. While the broker is away each gateway counts for itself alone.
"""

import math
import secrets
from collections.abc import Callable
from weakref import WeakSet

from shared.errors import TooMany
from shared.messages import View

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
MOST_CALLERS = 20_000
"""Callers remembered at once; beyond it the idle and then the oldest are forgotten, so memory is bounded."""
TELL_EACH_S = 1.0
GONE_S = 5.0
"""A gateway that has said nothing for so long is not there any more."""
MOST_GATEWAYS = 1000
MOST_TOLD = 2000
"""Callers in one event."""
EXCESS = 20
"""This part of a limit all gateways together may have let in untold; about as much is on its way."""


class CallersHeard(View, of="gateway.callers_counted", frozen=True):
    """What a gateway has let in."""

    gateway: str
    counts: dict[str, int]


class RateLimit:
    """At most `limit` requests per `period` seconds and caller; unused ones are saved up to `limit`."""

    def __init__(self, limit: int, period: float) -> None:
        self.name = secrets.token_hex(8)
        """What this one calls itself among the others."""
        self.tell_now: Callable[[], None] = lambda: None
        """Is called when the others should be told at once."""
        self._limit = limit
        self._period = period
        self._step = period / limit
        self._burst = period - self._step
        self._free_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self._others: dict[str, float] = {}
        self._share = limit
        known.add(self)

    def take(self, caller: str, now: float) -> None:
        """Count one request of `caller` at `now` (seconds on any steady clock).

        Raises `TooMany` with the seconds after which the next one is allowed.
        """
        free_at = max(self._free_at.get(caller, now), now)
        wait = free_at - self._burst - now
        if wait > 1e-9:
            raise TooMany("You ask more often than is allowed.", retry_after=max(1, math.ceil(wait)))
        self._note(caller, free_at + self._step, now)
        count = self._untold[caller] = self._untold.get(caller, 0) + 1
        if (self._others and count >= self._share) or len(self._untold) >= MOST_TOLD:
            self.tell_now()

    def untold(self, now: float) -> dict[str, int]:
        """What was let in since this was last asked for; what nobody hears is counted here alone."""
        self._others = {name: at for name, at in self._others.items() if now - at <= GONE_S}
        self._share = max(1, self._limit // (EXCESS * max(1, len(self._others))))
        untold, self._untold = self._untold, {}
        return untold

    def hear(self, gateway: str, counts: dict[str, int], now: float) -> None:
        """Another gateway has let in so many."""
        if gateway == self.name or (gateway not in self._others and len(self._others) >= MOST_GATEWAYS):
            return
        self._others[gateway] = now
        for caller, count in counts.items():
            free_at = max(self._free_at.get(caller, now), now) + max(0, count) * self._step
            # Nobody is made to wait for more than was ever allowed him.
            self._note(caller, min(free_at, now + self._period * (1 + 1 / EXCESS)), now)

    def _note(self, caller: str, free_at: float, now: float) -> None:
        if caller not in self._free_at and len(self._free_at) >= MOST_CALLERS:
            self._forget(now)
        self._free_at[caller] = free_at

    def _forget(self, now: float) -> None:
        self._free_at = {caller: free_at for caller, free_at in self._free_at.items() if free_at > now}
        room = MOST_CALLERS * 9 // 10  # some room at once, so that a crowd does not sweep at each request
        for caller in list(self._free_at)[: max(0, len(self._free_at) - room)]:
            del self._free_at[caller]


known: WeakSet[RateLimit] = WeakSet()
"""The limits of this process: one or none, but in tests."""


def parse_rate(text: str) -> RateLimit | None:
    """`600/minute` (as `GatewaySettings.rate_limit` allows it) as a limit; None for the empty text."""
    if not text:
        return None
    count, _, unit = text.partition("/")
    return RateLimit(int(count), _SECONDS[unit])
