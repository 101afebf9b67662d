"""A service whose host has the wrong time, by Debian's libfaketime; its steady clock stays as it is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local import fleet

_PLACES = ("/usr/lib/*-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def settings(ahead_s: int) -> Mapping[str, str]:
    """What a process is started with whose clock is so far ahead. Skips the test where that cannot be."""
    found = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/"))]
    if not found:
        pytest.skip("libfaketime is not installed (apt-get install faketime): no clock can be set wrong")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{ahead_s:+d}s",
        # Or event loops stand still.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@asynccontextmanager
async def wrong_clock(service: str, ahead_s: int) -> AsyncIterator[None]:
    """Meanwhile all replicas of a service of the suite's shop have a clock that is so far ahead."""
    await asyncio.to_thread(fleet.restart, service, settings=settings(ahead_s))
    try:
        yield
    finally:
        await asyncio.to_thread(fleet.restart, service)
