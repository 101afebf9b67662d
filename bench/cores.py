"""Which processors something may run on: the shop on one, the load on another."""

import contextlib
import os
from collections.abc import Iterator, Mapping

import psutil


@contextlib.contextmanager
def apart(pids: Mapping[str, int]) -> Iterator[bool]:
    """These processes with their descendants on the first processor; we, with all we start, on the second.

    Gives False, with everything left where it was, where there is no second one.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        yield False
        return
    _put(pids, {allowed[0]})
    os.sched_setaffinity(0, {allowed[1]})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, set(allowed))
        _put(pids, set(allowed))


def _put(pids: Mapping[str, int], processors: set[int]) -> None:
    for pid in pids.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                for thread in _threads(one):
                    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                        os.sched_setaffinity(thread, processors)


def _threads(process: psutil.Process) -> list[int]:
    """Each thread has a place of its own; what it starts later takes that over."""
    try:
        return [thread.id for thread in process.threads()]
    except psutil.NoSuchProcess:
        return []
