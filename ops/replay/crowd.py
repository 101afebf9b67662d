"""Many at once, but not too many."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def run_all(
    things: Iterable[T],
    act: Callable[[T], Awaitable[R]],
    width: int,
    step: Callable[[], None] = lambda: None,
) -> list[tuple[T, R]]:
    """Act on every thing, at most `width` at a time, and return each with its result; `step` after each.

    The first failure stops the rest and is raised itself, not wrapped in a group: callers name its type.
    """
    waiting = iter(list(things))
    results: list[tuple[T, R]] = []

    async def work() -> None:
        for thing in waiting:
            results.append((thing, await act(thing)))
            step()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(work())
    except* Exception as failures:
        failure: BaseException = failures
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from None
    return results
