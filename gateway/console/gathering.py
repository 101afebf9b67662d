"""Pages that ask several services at once, and show what they got when one of them is away."""

from collections.abc import Awaitable
from typing import TypeVar

from msgspec import Struct

from shared.errors import Problem

T = TypeVar("T")


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
