"""How long somebody waits for what is being done; carried by a context variable, like the trace.

A call brings the time that its caller still has. It is counted from the call's arrival, on this process's own
monotonic clock: the clocks of two hosts are never compared. Whoever has waited for something (a turn, a
connection) looks again before going on, since a partner that hangs may have held it up for minutes, and work
for a caller who was refused meanwhile must not begin.
"""

import time
from contextvars import ContextVar, Token
from types import TracebackType


class Passed(Exception):
    """Nobody waits any more for what was about to begin; nothing of it has been done."""


class _Deadline:
    __slots__ = ("ends", "is_begun")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.is_begun = False


_current: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


class Until:
    """`with Until(ends):` somebody waits for what is done inside until `ends`, as `time.monotonic` counts."""

    __slots__ = ("_deadline", "_token")

    def __init__(self, ends: float) -> None:
        self._deadline = _Deadline(ends)
        self._token: Token[_Deadline | None] | None = None

    def __enter__(self) -> None:
        self._token = _current.set(self._deadline)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)


def look() -> float | None:
    """When those who wait will stop; None where there is no hurry. Raises `Passed` if they have.

    What has `begun` is carried on to its end, however late: half of it would help nobody, and a second unit
    of work may have to write down what the first one, or a partner, has done.
    """
    deadline = _current.get()
    if deadline is None or deadline.is_begun:
        return None
    if time.monotonic() >= deadline.ends:
        raise Passed
    return deadline.ends


def begun() -> None:
    """Something has been done, or may have been."""
    if (deadline := _current.get()) is not None:
        deadline.is_begun = True
