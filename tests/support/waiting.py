"""Waiting in tests: poll for a condition with a deadline, never sleep and hope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.02


async def eventually(
    look: Callable[[], Awaitable[T]], *, holds: Callable[[T], bool] = bool, within_s: float = 15.0
) -> T:
    """What `look` sees once it `holds`. Raises `AssertionError` with the last sight after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s; last seen: {seen!r}")
        await asyncio.sleep(PAUSE_S)
