"""The way out of a channel: its bytes leave in order, and are not heaped up before a stuck connection."""

import asyncio

from aiormq.abc import ChannelFrame

FLUSH_BYTES = 256 * 1024
"""Having written so much, an outlet asks whether the connection gets rid of it."""
BACKLOG_BYTES = 4 * 1024 * 1024
"""More than this is not to wait in the connection: a broker that is short of memory reads nothing any more,
perhaps for hours."""


class Outlet:
    """Writes to the queue from which a connection's writing task takes; `write` never waits."""

    def __init__(self, queue: "asyncio.Queue[ChannelFrame]") -> None:
        self._queue = queue
        self._held: list[bytes] = []
        self._catching_up: asyncio.Task[None] | None = None
        self._unflushed = 0
        self._flushing: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed.done()

    @property
    def is_congested(self) -> bool:
        """Whether more than enough waits to be sent."""
        return self._unflushed > BACKLOG_BYTES

    def write(self, octets: bytes) -> None:
        """Hand over whole frames. What comes after the end of the connection goes nowhere."""
        if self.is_closed:
            return
        self._unflushed += len(octets)
        if self._catching_up is None and not self._queue.full():
            self._queue.put_nowait(ChannelFrame(octets, should_close=False))
        else:
            self._held.append(octets)
            if self._catching_up is None:
                self._catching_up = asyncio.create_task(self._catch_up())
        if self._unflushed >= FLUSH_BYTES and self._flushing is None:
            self._flushing = asyncio.create_task(self._find_room())

    async def wait_for_room(self) -> None:
        """Wait until the connection takes more, or is closed."""
        while self.is_congested and not self.is_closed:
            self._room.clear()
            await self._room.wait()

    async def flush(self, seconds: float | None = None) -> None:
        """Wait until what was written so far is on its way, but for what the connection holds back to send it
        together, or until the connection is closed; at most `seconds`, if any are given."""
        emptying = asyncio.create_task(self._empty())
        await asyncio.wait({emptying, self._closed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        emptying.cancel()

    def close(self) -> None:
        """The connection is gone: what was not sent never will be."""
        if not self.is_closed:
            self._closed.set_result(None)
        self._room.set()
        for task in (self._catching_up, self._flushing):
            if task is not None:
                task.cancel()

    async def _empty(self) -> None:
        if self._catching_up is not None:
            await asyncio.wait({self._catching_up})
        drained = asyncio.get_running_loop().create_future()
        await self._queue.put(ChannelFrame(b"", should_close=False, drain_future=drained))
        await drained

    async def _catch_up(self) -> None:
        """Write what the queue had no room for, before anything newer."""
        while self._held:
            octets = b"".join(self._held)
            self._held.clear()
            await self._queue.put(ChannelFrame(octets, should_close=False))
        self._catching_up = None

    async def _find_room(self) -> None:
        while self._unflushed >= FLUSH_BYTES:
            asked = self._unflushed
            await self.flush()
            self._unflushed -= asked
            self._room.set()
        self._flushing = None
