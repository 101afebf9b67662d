"""Which rows a piece of work would lock, and which of those somebody else holds right now.

A list of events waits for its locks like any unit of work; if one row is held for long by somebody, all of
the list wait for it, and everything behind. So whoever handles lists may say beside the handler which rows an
event makes it lock, and a list that had to wait is looked through for those that are to blame.

The looking skips locked rows, and only the looking may: a handler that skips takes a row that is locked for
one that is not there.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from shared.database.transaction import Reader, Transaction

LIST_LOCK_WAIT_SECONDS = 1
"""So long a list waits for each of its locks. Others hold rows for some hundredths of that."""


class Through(NamedTuple):
    """How rows are found that an event does not name: `leads_to` in the rows of `table` by column `by`."""

    table: str
    by: str
    leads_to: str


class Rows(NamedTuple):
    """Rows of a table by the values of a column with an index; with `through` those that values lead to."""

    table: str
    column: str
    values: Collection[Any]
    through: Through | None = None


class Held(NamedTuple):
    """Rows of a table that have one value in a column."""

    table: str
    column: str
    value: int | str


async def named(db: Reader, wanted: Sequence[Sequence[Rows]]) -> list[set[Held]]:
    """The rows that each of several pieces of work would lock, by their names."""
    ways: dict[Through, set[Any]] = {}
    for rows in (one for these in wanted for one in these):
        if rows.through is not None:
            ways.setdefault(rows.through, set()).update(rows.values)
    asked = [(way, values) for way, values in ways.items() if values]
    found = await db.rows_of_each(
        *(
            (
                f"SELECT `{way.by}`, `{way.leads_to}` FROM `{way.table}` WHERE `{way.by}` IN %s",
                [sorted(values)],
            )
            for way, values in asked
        )
    )
    led: dict[tuple[Through, int | str], set[int | str]] = {}
    for (way, _), pairs in zip(asked, found, strict=True):
        for by, leads_to in pairs:
            if leads_to is not None:
                led.setdefault((way, by), set()).add(leads_to)
    return [
        {
            Held(rows.table, rows.column, value)
            for rows in these
            for given in map(_as_stored, rows.values)
            for value in (led.get((rows.through, given), ()) if rows.through is not None else (given,))
        }
        for these in wanted
    ]


async def held_by_others(tx: Transaction, rows: Iterable[Held]) -> set[Held]:
    """Those rows that are there and that somebody else has locked. Waits for nobody."""
    columns: dict[tuple[str, str], list[int | str]] = {}
    for table, column, value in sorted(rows):
        columns.setdefault((table, column), []).append(value)
    held: set[Held] = set()
    for (table, column), values in columns.items():
        look = f"SELECT `{column}` FROM `{table}` WHERE `{column}` IN %s"
        there, free = await tx.rows_of_each((look, [values]), (f"{look} FOR UPDATE SKIP LOCKED", [values]))
        locked = Counter(value for (value,) in there) - Counter(value for (value,) in free)
        held.update(Held(table, column, value) for value in locked)
    return held


def _as_stored(value: Any) -> int | str:
    return str(value) if isinstance(value, UUID) else value
