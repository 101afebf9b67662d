"""Who waits for an order to settle: requests with `Prefer: wait=N`, woken by the order's events."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Settlements:
    """The orders that requests of this process wait for."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = {}

    @contextmanager
    def watch(self, order_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set once the order settles; watch before placing, so that no news is missed."""
        settled = asyncio.Event()
        self._waiting.setdefault(order_id, set()).add(settled)
        try:
            yield settled
        finally:
            waiting = self._waiting[order_id]
            waiting.discard(settled)
            if not waiting:
                del self._waiting[order_id]

    def tell(self, order_id: UUID) -> None:
        """Wake those who wait for this order, if there are any."""
        for settled in self._waiting.get(order_id, ()):
            settled.set()


settlements = Settlements()
"""One per process: its requests and its taps run on the same event loop."""


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
