"""Who waits for what: requests with `Prefer: wait=N` and event streams, woken by the events they wait for."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar
from uuid import UUID

K = TypeVar("K", bound=Hashable)


class Watches(Generic[K]):
    """The things that requests of this process wait for, by their keys."""

    def __init__(self) -> None:
        self._waiting: dict[K, set[asyncio.Event]] = {}

    @contextmanager
    def watch(self, key: K) -> Iterator[asyncio.Event]:
        """An event that is set at news of `key`; watch before you look, so that no news is missed."""
        woken = asyncio.Event()
        self._waiting.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            waiting = self._waiting[key]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[key]

    def tell(self, key: K) -> None:
        """Wake those who wait for this, if there are any."""
        for woken in self._waiting.get(key, ()):
            woken.set()


# One each per process: its requests and its taps run on the same event loop.
settlements: Watches[UUID] = Watches()
"""Of orders, by id: told when one settles."""
changes: Watches[UUID] = Watches()
"""Of orders, by id: told when something has happened to one that it tells the world."""
notifications: Watches[int] = Watches()
"""Of users, by id: told when one is notified."""


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
