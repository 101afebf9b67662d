"""Lists that grow by themselves under load: at rest nothing waits for company."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

LOAD_SHARE = 8
"""A list shows load when it was at least this part of a full one; only then does the next one wait."""


class Batching(Generic[T]):
    """What waits for a worker, handed out as lists of at most `full` (by weight).

    While the worker is busy with one list, the next one gathers. If the last list showed load, the next waits
    up to `linger_s` seconds until it is as long as that one, together with what came just too late for it.
    So it waits for what waiting has brought, or would have brought, the last time.

    For example, a full list is 128 events and `linger_s` is 5 ms. The last list had 40 events, which shows
    load (at least 128 / 8 = 16), and 8 more came within 5 ms after it was taken. So the next list waits until
    it has 48 events, or for 5 ms. After a list of 10 events the next one does not wait at all.

    Both simpler rules fail. Never to wait takes lists apart: the 48 events that one service publishes at once
    arrive at the next as 40 and 8, are handled and published in two transactions, arrive there as four, and
    so on, until every order costs transactions of its own. Always to wait for a full list costs each order
    5 ms in each service that it passes, for company that does not come at half load.

    With `fill_first` every list waits up to `linger_s` to be full, for work whose result nobody waits for.
    """

    def __init__(self, full: int, linger_s: float, *, fill_first: bool = False) -> None:
        self._full = full
        self._linger_s = linger_s
        self._fill_first = fill_first
        self._waiting: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._last_weight = 0
        self._missed = 0
        self._missing_until = 0.0
        self._enough = full
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, one: T, weight: int = 1) -> None:
        """Add something; a message weighs as many events as it holds."""
        self._waiting.append((one, weight))
        self._weight += weight
        if asyncio.get_running_loop().time() <= self._missing_until:
            self._missed += weight
        if self._weight >= self._enough:
            self._filled.set()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._weight = 0

    async def take(self) -> list[T]:
        """The next list, in order of arrival; empty only if nothing waits.

        What weighs more than a full list by itself is a list of its own.
        """
        await self._linger()
        taken: list[T] = []
        weight = 0
        while self._waiting and (not taken or weight + self._waiting[0][1] <= self._full):
            one, its_weight = self._waiting.popleft()
            taken.append(one)
            weight += its_weight
        self._weight -= weight
        self._last_weight, self._missed = weight, 0
        self._missing_until = asyncio.get_running_loop().time() + self._linger_s
        return taken

    async def _linger(self) -> None:
        """Wait for as much as there is hope of, if there is reason to."""
        shows_load = self._last_weight >= self._full // LOAD_SHARE > 0
        hoped_for = self._last_weight + self._missed
        self._enough = self._full if self._fill_first else min(hoped_for, self._full)
        if (self._fill_first or shows_load) and self._weight < self._enough:
            self._filled.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    await self._filled.wait()
