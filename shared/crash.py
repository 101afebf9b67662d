"""Crash points: the places where a process can be told to die by SIGKILL, so that recovery can be proved.

`SHOP_CRASH_AT=outbox.after_commit` names the point; with `SHOP_CRASH_MARKER=FILE` the process dies only while
that file does not exist yet, and makes it first, so that its successor lives.
"""

import os
import signal
from pathlib import Path

_point = ""
_marker = ""

AT_WORK = ("outbox.after_commit", "outbox.after_publish", "consumer.before_ack")
"""What every service passes as it works."""
MOVING = tuple(
    f"moving.{step}"
    for step in (
        "twin_bound",
        "unbound",
        "confirmed",
        "emptied",
        "deleted",
        "declared",
        "twin_unbound",
        "filled",
        "let_go",
    )
)
"""The steps of a queue that is made anew (`shared/broker/moving.py`)."""
POINTS = (*AT_WORK, *MOVING)


def arm(point: str, marker: str = "") -> None:
    """Die at `point` from now on (once, if `marker` is given). An empty point disarms."""
    global _point, _marker
    if point and point not in POINTS:
        raise SystemExit(f"SHOP_CRASH_AT={point!r}: the points are {', '.join(POINTS)}")
    _point, _marker = point, marker


def here(point: str) -> None:
    """Die now, if this is the point that was armed."""
    if point != _point:
        return
    if _marker:
        marker = Path(_marker)
        if marker.exists():
            return
        marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
