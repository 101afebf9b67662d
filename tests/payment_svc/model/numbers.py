"""Ids that come in the same order in every run, so that a run can be repeated."""

from itertools import count
from uuid import UUID


class Numbers:
    """Counts, in the form of ids that sort by the time they were made."""

    def __init__(self, first: int = 1) -> None:
        self._next = count(first)

    def new(self) -> UUID:
        """The next id."""
        return UUID(f"{next(self._next):08x}-0000-7000-8000-000000000000")
