"""How the shop says no, or nothing, and how to go on when that is only for a moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from shared.errors import ProblemDetails, StillRunning

T = TypeVar("T")

STILL_RUNNING = f"/problems/{StillRunning.slug}"
"""What is said of a request that was sent again before the first one had ended."""


class Away(Exception):
    """No answer: the connection was refused, broke or timed out. The request may have been done."""


class Refused(Exception):
    """The shop said no; `problem` tells why."""

    def __init__(self, status: int, problem: ProblemDetails, retry_after: float | None = None) -> None:
        fields = "; ".join(f"{error.field}: {error.message}" for error in problem.errors)
        super().__init__(f"{status} {problem.title}: {problem.detail}" + (f" ({fields})" if fields else ""))
        self.status = status
        self.problem = problem
        self.retry_after = retry_after


def passing(error: Exception) -> bool:
    """Whether the shop is only away or busy with this for a moment, so that trying again makes sense."""
    if isinstance(error, Refused):
        return error.status in (429, 503) or error.problem.type == STILL_RUNNING
    return isinstance(error, Away)


async def persist(act: Callable[[], Awaitable[T]], *, timeout_s: float = 60.0) -> T:
    """Repeat an idempotent act while the shop is away, as Retry-After asks (at most 2 s)."""
    give_up = monotonic() + timeout_s
    pause = 0.05
    while True:
        try:
            return await act()
        except (Away, Refused) as error:
            if not passing(error) or monotonic() > give_up:
                raise
            asked = error.retry_after if isinstance(error, Refused) else None
        # Jitter, so that a crowd that was refused together does not come back together.
        await asyncio.sleep(min(asked or pause, 2.0) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        pause = min(pause * 2, 2.0)
