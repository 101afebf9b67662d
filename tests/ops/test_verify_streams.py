"""Streams side by side: each key once, with all of its rows, whatever the chunks are."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ops.databases import CannotRead
from ops.verify.runs import Run
from ops.verify.source import Stream, folded, merged
from ops.verify.tables import LEDGER, LedgerEntry

Row = tuple[int, str]


async def stream(rows: Sequence[Any], size: int) -> Stream:
    """Rows in chunks."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]  # type: ignore[misc]


def key(row: Row) -> int:
    """What rows are in the order of."""
    return row[0]


rows = some.lists(some.tuples(some.integers(0, 9), some.text("ab", max_size=2))).map(sorted)


@given(some.lists(rows, min_size=1, max_size=4), some.integers(1, 5))
async def test_each_key_comes_once_with_all_of_its_rows(tables: list[list[Row]], size: int) -> None:
    found: dict[int, list[list[Row]]] = {}
    async for batch in merged([stream(table, size) for table in tables], [key] * len(tables)):
        assert not found.keys() & batch.keys()
        found |= batch
    keys = {key(row) for table in tables for row in table}
    assert found == {one: [[row for row in table if key(row) == one] for table in tables] for one in keys}


async def test_what_is_not_sorted_is_told() -> None:
    with pytest.raises(CannotRead, match="not sorted"):
        _ = [batch async for batch in merged([stream([(2, ""), (1, "")], 1)], [key])]


def entries(*balances: tuple[int, int, int]) -> list[LedgerEntry]:
    """Entries by user, change and balance."""
    return [
        LedgerEntry(number, user_id, delta, balance, "grant", None, None, None, "-")
        for number, (user_id, delta, balance) in enumerate(balances, start=1)
    ]


@pytest.mark.parametrize("size", [1, 2, 9])
async def test_entries_in_a_row_come_to_what_the_last_one_notes(size: int) -> None:
    ledger = entries((1, 5, 5), (1, -2, 3), (2, 7, 7), (3, 1, 1), (3, 1, 3), (3, 1, 4))
    runs: list[Run] = []
    chunks = folded(stream(ledger, size), LEDGER.by("user_id").key, lambda one: Run(one.user_id), Run.add)
    async for chunk in chunks:
        runs += chunk
    assert [(run.key, run.entries, run.total, run.last) for run in runs] == [
        (1, 2, 3, 3),
        (2, 1, 7, 7),
        (3, 3, 3, 4),
    ]
    assert [run.breaks for run in runs] == [[], [], ["entry 5 notes 3, but 1 and +1 are 2"]]
