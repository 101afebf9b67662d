"""The tables of all services in memory, to be read as the checks read the databases."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from ops.databases import Row
from ops.verify.source import Stream
from ops.verify.tables import Reading
from payment_svc.pgs import Entry
from tests.ops.books_rows import Rows, T

CHUNK = 3


class Memory:
    """A `Source` of rows, in chunks so small that what belongs together lies in several of them."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @asynccontextmanager
    async def streams(
        self, readings: Sequence[Reading[Any]], keys: Collection[Any] | None = None
    ) -> AsyncIterator[list[Stream]]:
        yield [_stream(self._read(reading, keys)) for reading in readings]

    def one_moment(self, readings: Sequence[Reading[Any]]) -> Any:
        return self.streams(readings)

    async def among(self, reading: Reading[Any], keys: Collection[Any]) -> list[Any]:
        return self._read(reading, keys)

    async def ask(self, service: str, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        assert "MIN(created_at)" in sql, "only the first card payment is asked for"
        return [{"first": T}]

    def _read(self, reading: Reading[Any], keys: Collection[Any] | None) -> list[Any]:
        rows = self.rows.get(reading.table, [])
        if reading.only:
            column, values = reading.only
            rows = [row for row in rows if getattr(row, column) in values]
        rows = [row for row in rows if getattr(row, reading.column) is not None]
        if keys is not None:
            rows = [row for row in rows if reading.key(row) in keys]
        then = reading.then if reading.then in reading.table.columns else ""
        return sorted(rows, key=lambda row: (reading.key(row), getattr(row, then) if then else 0))


async def _stream(rows: list[Any]) -> Stream:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


class ListedPg:
    """A payment gateway with a list."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = entries

    async def transactions(self, since: datetime, until: datetime) -> AsyncIterator[Entry]:
        for entry in self.entries:
            yield entry
