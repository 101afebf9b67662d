"""Event streams of this process: how many there may be, and one reading for all who follow the same thing."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Generic, TypeVar

from gateway.door.waiting import Watch
from shared.errors import Overloaded, TooMany, Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Streams:
    """The streams that are open, by whose they are: each holds a connection and some memory."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def refuse_too_many(self, whose: str, most_of_user: int, most: int) -> None:
        """Raises `TooMany` where this user has as many as one may, `Overloaded` where all together do."""
        if self._of[whose] >= most_of_user:
            raise TooMany(f"You have {most_of_user} event streams open; close one of them.", retry_after=5)
        if self._of.total() >= most:
            raise Overloaded("There are too many event streams; try again later.")

    @contextmanager
    def one_more(self, whose: str) -> Iterator[None]:
        """Count a stream for as long as this block lasts."""
        self._of[whose] += 1
        try:
            yield
        finally:
            self._of[whose] -= 1
            if not self._of[whose]:
                del self._of[whose]


class Feed(Generic[V]):
    """Something as it was read last."""

    def __init__(self, first: V) -> None:
        self._latest = first
        self._error: Exception | None = None
        self._turn = asyncio.Event()
        self.followers = 0

    @property
    def latest(self) -> V:
        """As it was read last. Raises what the reading raised, if that has ended it."""
        if self._error is not None:
            raise self._error
        return self._latest

    async def changed_from(self, seen: V) -> V:
        """What it is once it is something else than `seen`."""
        while (now := self.latest) == seen:
            await self._turn.wait()
        return now

    async def keep_reading(
        self,
        read: Callable[[], Awaitable[V]],
        watching: AbstractContextManager[Watch[Any]],
        look_again_s: float,
    ) -> None:
        """Read it when the watch is told, and now and then, until this is cancelled."""
        with watching as woken:
            while self._error is None:
                woken.clear()
                try:
                    with suppress(Unavailable):  # streams outlive a restart of the service behind them
                        self._latest = await read()
                except Exception as error:  # told to all who follow
                    self._error = error
                self._turn.set()
                self._turn = asyncio.Event()
                await woken.within(look_again_s)


class Feeds(Generic[K, V]):
    """What is followed in this process, by key: read once, however many follow it."""

    def __init__(self) -> None:
        self._feeds: dict[K, tuple[Feed[V], asyncio.Task[None]]] = {}

    @contextmanager
    def follow(
        self,
        key: K,
        first: V,
        read: Callable[[], Awaitable[V]],
        watching: AbstractContextManager[Watch[Any]],
        look_again_s: float,
    ) -> Iterator[Feed[V]]:
        """The feed of `key`; whoever comes first says how it is read, and it ends with the last one."""
        if key not in self._feeds:
            feed = Feed(first)
            reading = asyncio.create_task(feed.keep_reading(read, watching, look_again_s), name=f"feed {key}")
            self._feeds[key] = feed, reading
        feed, reading = self._feeds[key]
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                reading.cancel()
                del self._feeds[key]


open_streams = Streams()
