"""Waiting for news: requests with `Prefer: wait=N` and event streams, woken by what they wait for."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
N = TypeVar("N")


class Watch(asyncio.Event, Generic[N]):
    """Is set at news; `news` is what they say, where that spares the one who waits a question."""

    news: N | None = None

    async def within(self, seconds: float) -> None:
        """Wait for news, at most so long: after that it is set without any."""
        timer = asyncio.get_running_loop().call_later(seconds, self.set)
        try:
            await self.wait()
        finally:
            timer.cancel()


class Watches(Generic[K, N]):
    """The things that requests of this process wait for, by their keys."""

    def __init__(self) -> None:
        self._waiting: dict[K, set[Watch[N]]] = {}

    @contextmanager
    def watch(self, key: K) -> Iterator[Watch[N]]:
        """Wait for news of `key`; watch before you look, so that none are missed."""
        woken = Watch[N]()
        self._waiting.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            waiting = self._waiting[key]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[key]

    def tell(self, key: K, news: N | None = None) -> None:
        """Wake those who wait for this, if there are any."""
        for woken in self._waiting.get(key, ()):
            woken.news = news or woken.news
            woken.set()


def wait_seconds(prefer: list[str]) -> int:
    """The `wait` of `Prefer` headers in whole seconds, at most 20; 0 where there is none that can be read.

    RFC 7240: malformed and unknown preferences are ignored, and of two with one name the first counts.
    """
    for preference in ",".join(prefer).split(","):
        name, _, rest = preference.partition(";")[0].partition("=")
        if name.strip().lower() != "wait":
            continue
        number = rest.strip()
        if len(number) > 1 and number[0] == number[-1] == '"':
            number = number[1:-1]
        if not (number.isascii() and number.isdigit()):
            return 0
        return 20 if len(number.lstrip("0")) > 2 else min(int(number), 20)
    return 0
