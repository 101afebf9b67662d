"""What processes cost: seconds of CPU and bytes of memory, read from the system."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

import psutil

QUIET_PERCENT = 15.0
"""Of all processors together; a shop at rest takes less."""
QUIET_WITHIN_S = 15.0
LOOK_S = 0.3


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds so far, by name; a process counts with its descendants."""
    return {name: sum(sum(one.cpu_times()[:2]) for one in _family(pid)) for name, pid in pids.items()}


def memory_mb(pids: Mapping[str, int]) -> float:
    """Megabytes of all together; what they share, as libraries, counts once (proportional set size)."""
    return sum(one.memory_full_info().pss for pid in pids.values() for one in _family(pid)) / 2**20


async def quiet() -> None:
    """Wait until the machine has next to nothing to do, for some seconds at most.

    What one has left behind (a read side that catches up, pages to be written) is not to slow down the next.
    """
    deadline = time.monotonic() + QUIET_WITHIN_S
    psutil.cpu_percent()
    while time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
        if psutil.cpu_percent() < QUIET_PERCENT:
            return


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []
