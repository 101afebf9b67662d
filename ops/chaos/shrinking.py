"""Makes a plan that fails smaller, as long as it still fails."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ops.chaos.plan import Fault

MOST_HALVINGS = 6
TRIES = 3
"""What breaks only sometimes is tried so often before it counts as whole."""


class Shrunk(NamedTuple):
    """The smallest part of a plan that was seen to fail, and how it came to be the smallest."""

    faults: list[Fault]
    halvings: int
    why: str


async def shrink(plan: Sequence[Fault], fails: Callable[[list[Fault]], Awaitable[bool]]) -> Shrunk:
    """Halve a failing plan again and again, keeping a half that fails, until a single fault is left."""
    smallest = list(plan)
    for halvings in range(MOST_HALVINGS):
        if len(smallest) <= 1:
            return Shrunk(smallest, halvings, "one fault is left")
        middle = (len(smallest) + 1) // 2
        for half in (smallest[:middle], smallest[middle:]):
            if await _fails_once(half, fails):
                smallest = half
                break
        else:
            return Shrunk(smallest, halvings, f"neither half failed again in {TRIES} tries each")
    return Shrunk(smallest, MOST_HALVINGS, f"halved {MOST_HALVINGS} times")


async def _fails_once(half: list[Fault], fails: Callable[[list[Fault]], Awaitable[bool]]) -> bool:
    for _ in range(TRIES):
        if await fails(half):
            return True
    return False
