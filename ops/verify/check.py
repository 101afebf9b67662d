"""What a check is, and the books that checks are made of."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from ops.verify.source import Source

T = TypeVar("T")

LONG = timedelta(seconds=60)
"""What has been under way for longer was not merely seen in passing."""


class Check(NamedTuple, Generic[T]):
    """Says of one thing's records what is wrong with them, in words with its ids. Pure."""

    name: str
    find: Callable[[T], Iterable[str]]
    follows: bool = False
    """Whether what it looks at comes a moment after its cause, so that it may be worth waiting for."""


class Money(NamedTuple):
    """Payments and what the shop still has of them, in won."""

    payments: tuple[str, ...] = ()
    won: int = 0

    def plus(self, payment_id: str, won: int) -> "Money":
        """One more payment."""
        return Money((*self.payments, payment_id), self.won + won)


NOTHING = Money()


@dataclass
class Facts:
    """What holds for a whole look: when it is, and how the shop is set up."""

    now: datetime
    """By the order service's database."""
    told_since: datetime | None = None
    """Since when the read side has listened; None: it has heard nothing yet."""
    unpaid_s: float = 1800.0
    """How long a completed order waits to be paid; 0: for ever."""
    attention: Money = NOTHING
    """Payments found that a person has to decide about."""
    kept: Money = NOTHING
    """Payments found that a person decided to keep."""


Pages = AsyncIterator[Sequence[tuple[Any, T]]]


@dataclass(frozen=True)
class Book(Generic[T]):
    """All things of one kind with their records, in the order of their keys, and what must hold of each.

    `pages` reads it, all of it or what is about some keys.
    """

    name: str
    checks: tuple[Check[T], ...]
    pages: Callable[[Source, Facts, Collection[Any] | None], Pages[T]]


Suspect = tuple[str, Any]
"""What a finding is recognised by: the name of its check, and the key of what it is about."""


_KEYS_AT_ONCE = 5000


async def go_through(
    book: Book[Any], source: Source, facts: Facts, keys: Collection[Any] | None = None
) -> dict[Suspect, list[str]]:
    """Make a book's checks, about some keys or all; returns what is wrong in words. Raises `CannotRead`."""
    found: dict[Suspect, list[str]] = {}
    for part in _parts(keys):
        async for page in book.pages(source, facts, part):
            for key, records in page:
                for check in book.checks:
                    for text in check.find(records):
                        found.setdefault((check.name, key), []).append(text)
    return found


def _parts(keys: Collection[Any] | None) -> list[Collection[Any] | None]:
    if keys is None:
        return [None]
    ordered = sorted(keys)
    return [ordered[start : start + _KEYS_AT_ONCE] for start in range(0, len(ordered), _KEYS_AT_ONCE)]
