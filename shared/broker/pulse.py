"""Whether the broker still says anything on a connection that is open.

A broker that was stopped, that swaps, or that is cut off without a word does not close its connections; the
protocol's own heartbeats take half a minute to find that out, ten times as long as a caller waits. So a
connection on which nothing comes asks something that a broker answers at once, and counts how often nothing
comes all the same. A slow answer to a call is not taken for silence: the broker has answered meanwhile.
"""

import asyncio
import time
from collections.abc import Callable

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as LowerConnection

from shared.broker.channel import Channel

LEAST_DEADLINE_S = 0.4
"""A broker that is busy with others may take a moment for a word, however hasty the callers are."""
LEAST_STANDSTILL_S = 1.0
"""A process that is busy looks so late now and then."""
LOOKS_A_DEADLINE = 8
SILENT_LOOKS = 3
"""So many looks in a row without a word are silence: at the latest after half a deadline."""
LOST_LOOKS = 12
"""After so many a connection is given up: one and a half deadlines, which leaves time to make another."""

_LAST_FRAME_TIME = "_Connection__last_frame_time"
"""When the client library last read a frame; it keeps that for its heartbeats."""


class Pulse:
    """Looks after one connection, with a channel on it that is used for nothing else.

    Looks are counted, not seconds: when this process itself was held up, what came meanwhile has yet to be
    read, and that is one look.
    """

    def __init__(self, lower: LowerConnection, channel: Channel, deadline_s: float) -> None:
        self._lower = lower
        self._channel = channel
        self.deadline_s = max(deadline_s, LEAST_DEADLINE_S)
        self._heard: list[Callable[[bool], None]] = []
        self.is_silent = False
        self._looked_at = time.monotonic()
        self._held_up_until = 0.0

    def tell(self, hear: Callable[[bool], None]) -> None:
        """Have `hear(True)` called when the broker falls silent, and `hear(False)` when it speaks again."""
        self._heard.append(hear)
        if self.is_silent:
            hear(True)

    def was_held_up(self, now: float) -> bool:
        """Whether this process itself stood still a moment ago: what it reads now may have waited for it."""
        return now < self._held_up_until or self._stands_still(now)

    def _stands_still(self, now: float) -> bool:
        return now - self._looked_at > max(self.deadline_s / 2, LEAST_STANDSTILL_S)

    async def until_lost(self) -> None:
        """Look, as long as there is hope; returns when the connection is to be given up."""
        last, quiet = self._last_frame_time, 0
        while quiet < LOST_LOOKS:
            await asyncio.sleep(self.deadline_s / LOOKS_A_DEADLINE)
            now = time.monotonic()
            if self._stands_still(now):
                self._held_up_until = now + self.deadline_s
            self._looked_at = now
            before, last = last, self._last_frame_time
            # One that is short of memory says so, and then reads nothing; its heartbeats must do.
            quiet = 0 if last != before or self._channel.is_blocked else quiet + 1
            if quiet == 1:
                self._channel.ask_for_a_word()
            if self.is_silent != (quiet >= SILENT_LOOKS):
                self.is_silent = not self.is_silent
                for hear in self._heard:
                    hear(self.is_silent)

    @property
    def _last_frame_time(self) -> float:
        return getattr(self._lower, _LAST_FRAME_TIME)


def pulse_of(connection: AbstractConnection) -> Pulse | None:
    """What looks after a connection; only those of a `Link` are looked after."""
    return getattr(connection, "pulse", None)
