"""Entries in a row: each notes what there is after it, which follows from the entry before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

_BREAKS = 5
"""So many are told of one row; the first explains the others more often than not."""


@dataclass
class Run:
    """What the entries of one account or item come to, in the order in which they were made."""

    key: int
    entries: int = 0
    total: int = 0
    """The sum of all changes."""
    last: int = 0
    """What the last entry notes."""
    first: Any = None
    """The first entry itself."""
    breaks: list[str] = field(default_factory=list)

    def add(self, entry: Any) -> None:
        """One more entry with `id`, `delta` and the `balance` after it."""
        if not self.entries:
            self.first = entry
        due = self.last + entry.delta
        if entry.balance != due and len(self.breaks) < _BREAKS:
            self.breaks.append(
                f"entry {entry.id} notes {entry.balance}, but {self.last} and {entry.delta:+d} are {due}"
            )
        self.last = entry.balance
        self.total += entry.delta
        self.entries += 1


def breaks(run: Run | None, what: str) -> Iterator[str]:
    """Where a row breaks, in words."""
    for text in run.breaks if run else ():
        yield f"{what}: {text}"


def only(rows: Sequence[Any]) -> Any:
    """The row of some, of which there is one at most; None without any."""
    return rows[0] if rows else None
