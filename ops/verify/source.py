"""Where the checks read: each service's tables over connections of their own, for they may stand on several
servers, and no statement joins what two services keep.

A table is read as a stream in the order of a key, a chunk at a time, so that no more of it is in memory than
is being looked at. Streams that are opened together begin at almost the same moment, the first ones first.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar

import aiomysql
import pymysql

from ops.databases import CannotRead, Row, connect, said
from ops.verify.tables import Reading
from shared.database.results import outcomes, rows_in_parts
from shared.database.sql import statement

R = TypeVar("R")
Stream = AsyncIterator[list[Any]]
"""Rows in chunks, in the order of their reading's key."""

CHUNK = 2000
_BEGIN = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
KEYS = 1000
"""So many keys are asked for in one statement."""


class Source(Protocol):
    """What the checks need of the services' databases."""

    def streams(
        self, readings: Sequence[Reading[Any]], keys: Collection[Any] | None = None
    ) -> AbstractAsyncContextManager[list[Stream]]:
        """All rows of some readings, or those of some keys. Earlier readings are never newer than later ones.

        Raises `CannotRead`, here and while they are read.
        """
        ...

    def one_moment(self, readings: Sequence[Reading[Any]]) -> AbstractAsyncContextManager[list[Stream]]:
        """All rows of some readings of one service, as they are at one moment; to be read one after another.

        Raises `CannotRead`, here and while they are read.
        """
        ...

    async def among(self, reading: Reading[Any], keys: Collection[Any]) -> list[Any]:
        """The rows of some keys, as they are now."""
        ...

    async def ask(self, service: str, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        """What a statement about one service's own tables selects. Raises `CannotRead`."""
        ...


class Databases:
    """The services' databases, each by its URL; a context manager."""

    def __init__(self, url_of: Callable[[str], str]) -> None:
        self._url_of = url_of
        self._asking: dict[str, aiomysql.Connection] = {}

    async def __aenter__(self) -> "Databases":
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._asking.values():
            connection.close()

    @asynccontextmanager
    async def streams(
        self, readings: Sequence[Reading[Any]], keys: Collection[Any] | None = None
    ) -> AsyncIterator[list[Stream]]:
        """See `Source`. With keys, what one service keeps of them is read as it is at one moment."""
        if keys is not None:
            yield [_at_once(rows) for rows in await self._of_keys(readings, keys)]
            return
        async with AsyncExitStack() as open_ones:
            connections = await asyncio.gather(
                *(self._connected(reading.table.service) for reading in readings)
            )
            for connection in connections:
                open_ones.callback(connection.close)
            for connection in connections:
                await _do(connection, _BEGIN)
            yield [
                _stream(connection, reading)
                for connection, reading in zip(connections, readings, strict=True)
            ]

    @asynccontextmanager
    async def one_moment(self, readings: Sequence[Reading[Any]]) -> AsyncIterator[list[Stream]]:
        """See `Source`."""
        connection = await self._connected(readings[0].table.service)
        try:
            await _do(connection, _BEGIN)
            yield [_stream(connection, reading) for reading in readings]
        finally:
            connection.close()

    async def _of_keys(self, readings: Sequence[Reading[Any]], keys: Collection[Any]) -> list[list[Any]]:
        services = list(dict.fromkeys(reading.table.service for reading in readings))
        for service in services:
            await self.ask(service, _BEGIN)
        try:
            return [await self.among(reading, keys) for reading in readings]
        finally:
            for service in services:
                await self.ask(service, "COMMIT")

    async def among(self, reading: Reading[Any], keys: Collection[Any]) -> list[Any]:
        """See `Source`."""
        rows: list[Any] = []
        for part in _parts(sorted(keys)):
            sql = statement(_select(reading, f"{reading.sql_key} IN %s"), (part,))
            connection = await self._to_ask(reading.table.service)
            try:
                [found] = await outcomes(connection, [sql])
            except pymysql.err.MySQLError as error:
                raise _cannot_read(reading.table.service, error) from error
            rows += _as_rows(reading, found.rows)
        return rows

    async def ask(self, service: str, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        """See `Source`."""
        connection = await self._to_ask(service)
        try:
            async with connection.cursor(aiomysql.DictCursor) as cursor:
                await cursor.execute(statement(sql, args))
                return list(await cursor.fetchall())
        except pymysql.err.MySQLError as error:
            raise _cannot_read(service, error) from error

    async def _to_ask(self, service: str) -> aiomysql.Connection:
        if service not in self._asking:
            self._asking[service] = await self._connected(service)
        return self._asking[service]

    async def _connected(self, service: str) -> aiomysql.Connection:
        connection = await connect(self._url_of(service))
        await _do(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # A stream may have to wait until all others have come as far as it has.
        await _do(connection, "SET SESSION net_write_timeout = 3600")
        return connection


async def _do(connection: aiomysql.Connection, sql: str) -> None:
    async with connection.cursor() as cursor:
        await cursor.execute(sql)


async def _stream(connection: aiomysql.Connection, reading: Reading[Any]) -> Stream:
    sql = _select(reading, f"{reading.sql_key} IS NOT NULL")
    try:
        async for part in rows_in_parts(connection, sql, CHUNK):
            yield _as_rows(reading, part)
    except pymysql.err.MySQLError as error:
        raise _cannot_read(reading.table.service, error) from error


def _as_rows(reading: Reading[Any], values: Iterable[tuple[Any, ...]]) -> list[Any]:
    row = reading.table.row
    return [row._make(one) for one in values]


async def _at_once(rows: list[Any]) -> Stream:
    if rows:
        yield rows


def _select(reading: Reading[Any], where: str) -> str:
    table = reading.table
    columns = ", ".join(f"`{column}`" for column in table.columns)
    if reading.only:
        where += f" AND {reading.only.sql}"
    order = ", ".join(filter(None, (reading.sql_key, reading.then)))
    return f"SELECT {columns} FROM `{table.name}` WHERE {where} ORDER BY {order}"


def _parts(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (keys[start : start + KEYS] for start in range(0, len(keys), KEYS))


def _cannot_read(service: str, error: Exception) -> CannotRead:
    return CannotRead(f"the database of {service} cannot be read: {said(error)}")


# Merging -------------------------------------------------------------------------------------------------


async def merged(
    streams: Sequence[Stream], keys: Sequence[Callable[[Any], Any]]
) -> AsyncIterator[dict[Any, list[list[Any]]]]:
    """Streams side by side: for each key the rows that every one of them has of it; some keys at a time.

    A key comes once, and only when no stream can have more of it: what is held back is less than a chunk
    of each stream and the rows of one key.
    """
    waiting: list[list[Any]] = [[] for _ in streams]
    open_ones = set(range(len(streams)))
    while True:
        for number in [one for one in open_ones if not waiting[one]]:
            await _more(number, streams, waiting, open_ones, keys)
        if not open_ones and not any(waiting):
            return
        # Up to here every stream that is open has been read; of this very key there may be more to come.
        bound = min((keys[number](waiting[number][-1]) for number in open_ones), default=None)
        batch: dict[Any, list[list[Any]]] = {}
        for number, rows in enumerate(waiting):
            taken = _below(rows, bound, keys[number])
            for row in rows[:taken]:
                key = keys[number](row)
                if key not in batch:
                    batch[key] = [[] for _ in streams]
                batch[key][number].append(row)
            del rows[:taken]
        if batch:
            yield batch
        for number in [one for one in open_ones if keys[one](waiting[one][-1]) == bound]:
            await _more(number, streams, waiting, open_ones, keys)


async def _more(
    number: int,
    streams: Sequence[Stream],
    waiting: list[list[Any]],
    open_ones: set[int],
    keys: Sequence[Callable[[Any], Any]],
) -> None:
    chunk = await anext(streams[number], None)
    if chunk is None:
        open_ones.discard(number)
        return
    rows, key = waiting[number], keys[number]
    before = key(rows[-1]) if rows else key(chunk[0])
    for row in chunk:
        if key(row) < before:
            raise CannotRead(f"a table is not sorted as it should be: {before!r} comes before {key(row)!r}")
        before = key(row)
    rows += chunk


def _below(rows: Sequence[Any], bound: Any, key: Callable[[Any], Any]) -> int:
    """How many of some sorted rows have keys below a bound; all of them without one."""
    if bound is None:
        return len(rows)
    first, last = 0, len(rows)
    while first < last:
        middle = (first + last) // 2
        if key(rows[middle]) < bound:
            first = middle + 1
        else:
            last = middle
    return first


async def folded(
    stream: Stream, key: Callable[[Any], Any], start: Callable[[Any], R], add: Callable[[R, Any], None]
) -> AsyncIterator[list[R]]:
    """For each key of a stream what its rows come to, however many they are."""
    current: R | None = None
    current_key: Any = None
    async for chunk in stream:
        done: list[R] = []
        for row in chunk:
            if current is None or key(row) != current_key:
                if current is not None:
                    done.append(current)
                current, current_key = start(row), key(row)
            add(current, row)
        if done:
            yield done
    if current is not None:
        yield [current]
