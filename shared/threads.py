"""Work that keeps a processor busy, in few threads beside the event loop, with a short line before them.

Without a bound such work piles up, and goes on for callers who have long gone. Here so many run at once, so
many wait, in fair order, and the rest is refused at once; what nobody waits for any more is not begun.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar, TypeVarTuple

from shared.deadline import Passed, look
from shared.errors import Overloaded

T = TypeVar("T")
Args = TypeVarTuple("Args")

BREATH_S = 0.0002
"""A thread in pure Python pauses so long between its steps, for the event loop needs the interpreter, too."""


class _Waiting:
    """Who waits for a thread, and where in the line."""

    __slots__ = ("began", "place", "until", "whose")

    def __init__(self, whose: tuple[int, str], place: tuple[int, int, int], until: float) -> None:
        self.whose = whose
        self.place = place
        self.until = until
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Threads:
    """So many threads, and at most `line` who wait for one."""

    def __init__(self, name: str, count: int, line: int) -> None:
        self._name = name
        self._count = count
        self._most = line
        self._line: list[_Waiting] = []
        self._waiting_of: Counter[tuple[int, str]] = Counter()
        self._seen = 0
        self._free = count
        self._usual = 0.0
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[*Args], T], *args: *Args, whose: str = "", suspicion: int = 0) -> T:
        """Do `work` in a thread. Raises `Overloaded` or `Passed`, with nothing done, where it came too late.

        Who is under less `suspicion` goes before; else those of whom fewest wait, then who came first. Where
        the line is full, its last one in this order has to go.
        """
        until = look()
        if self._free:
            self._free -= 1
        else:
            await self._wait((suspicion, whose), until)
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        done = self._pool.submit(copy_context().run, work, *args)
        # Not when its caller goes, but when the thread has ended, another may begin.
        done.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended, began))
        return await asyncio.wrap_future(done)

    async def _wait(self, whose: tuple[int, str], until: float | None) -> None:
        self._seen += 1
        place = (whose[0], self._waiting_of[whose], self._seen)
        one = _Waiting(whose, place, until or float("inf"))
        before = sum(other.place < place for other in self._line)
        if time.monotonic() + (before // self._count + 1) * self._usual > one.until:
            raise self._refusal()
        if len(self._line) >= self._most:
            last = max(self._line, key=lambda other: other.place, default=one)
            if last.place <= place:
                raise self._refusal()
            self._take_out(last)
            last.began.set_exception(self._refusal())
        self._line.append(one)
        self._waiting_of[whose] += 1
        try:
            await one.began
        except asyncio.CancelledError:
            if one in self._line:
                self._take_out(one)
            elif not one.began.cancelled() and one.began.exception() is None:
                self._next()  # it was its turn at that very moment, which is the next one's now
            raise

    def _take_out(self, one: _Waiting) -> None:
        self._line.remove(one)
        self._waiting_of[one.whose] -= 1
        if not self._waiting_of[one.whose]:
            del self._waiting_of[one.whose]

    def _ended(self, began: float) -> None:
        took = time.monotonic() - began
        self._usual += (took - self._usual) / 8 if self._usual else took
        self._next()

    def _next(self) -> None:
        """Give a thread to the first in line whose caller still waits."""
        while self._line:
            one = min(self._line, key=lambda other: other.place)
            self._take_out(one)
            if one.began.done():
                continue
            if one.until <= time.monotonic():
                one.began.set_exception(Passed())
                continue
            one.began.set_result(None)
            return
        self._free += 1

    def _refusal(self) -> Overloaded:
        return Overloaded(f"There is more {self._name} to do than can be done in time; try again later.")


def between_steps() -> None:
    """Between steps of work in a thread: let the event loop in. Raises `Passed` once nobody waits."""
    look()
    time.sleep(BREATH_S)
