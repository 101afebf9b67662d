"""What processes cost: seconds of CPU and bytes of memory, read from the system."""

import contextlib
from collections.abc import Mapping

import psutil


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds so far, by name; a process counts with its descendants."""
    return {name: sum(sum(one.cpu_times()[:2]) for one in _family(pid)) for name, pid in pids.items()}


def memory_mb(pids: Mapping[str, int]) -> float:
    """Megabytes of all together; what they share, as libraries, counts once (proportional set size)."""
    return sum(one.memory_full_info().pss for pid in pids.values() for one in _family(pid)) / 2**20


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []
