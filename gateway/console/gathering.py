"""Pages that ask several services at once, and show what they got when one of them is away."""

from collections.abc import Awaitable
from typing import TypeVar

from msgspec import Struct

from gateway.console.requests import ConsoleRequest
from gateway.door.cache import Memory
from query_svc.contracts import GetLag, Lag
from shared.errors import Problem

T = TypeVar("T")

REMEMBERED_S = 5.0
"""How old counts may be: every open page looks each second, and counting takes its time."""


class Missing(Struct, frozen=True):
    """What could not be had, and why, in words for a person."""

    status: int
    detail: str


async def or_missing(asking: Awaitable[T]) -> T | Missing:
    """The answer, or why there is none."""
    try:
        return await asking
    except Problem as problem:
        return Missing(problem.status, problem.detail)


def memory(request: ConsoleRequest) -> Memory:
    """Answers of a moment ago, which every page of this process may show."""
    state = request.app.state
    if "console_memory" not in state:
        state["console_memory"] = Memory(request.rpc, REMEMBERED_S)
    return state["console_memory"]


async def lag(request: ConsoleRequest) -> Lag | None:
    """How far the read side has come, a moment ago; None while it is away."""
    found = await or_missing(memory(request).ask(GetLag()))
    return None if isinstance(found, Missing) else found.reply
