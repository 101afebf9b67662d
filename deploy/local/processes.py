"""Finds and ends the processes of a local run, and no others."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

import psutil

from deploy.local.layout import Layout

MARK = "SAGAMART_RUN_DIR"
"""Environment variable that every process of a run carries, with the run folder as value.

A pid file outlives its process and a port says nothing about who listens: the mark is inherited by every
child (Erlang's port mapper included, which leaves its family) and cannot belong to a stranger.
"""


def owned(at: Layout) -> list[psutil.Process]:
    """Every living process of this run, whoever its parent is now."""
    wanted = str(at.run_dir)
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def names(processes: Iterable[psutil.Process]) -> list[str]:
    """Names of those that still run, each once: a process may go while it is being looked at."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found.add(process.name())
    return sorted(found)


def end(processes: Iterable[psutil.Process], *, within_s: float) -> None:
    """Ask them to stop, wait, and kill what is left."""
    left = list(processes)
    _signal(left, signal.SIGTERM)
    left = wait_gone(left, within_s)
    _signal(left, signal.SIGKILL)
    wait_gone(left, 10.0)


def wait_gone(processes: Iterable[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait for processes that need not be our children; returns those still alive."""
    left = [process for process in processes if _alive(process)]
    deadline = time.monotonic() + within_s
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if _alive(process)]
    return left


def memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
