"""Reads all services' databases at once, with the read-only user: what no service may do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomysql
import pymysql

from shared.addresses import DATABASE_SERVER, parse
from shared.database import connection as connections

PATIENCE_S = 3600.0
"""A question about the whole of the books may take so long."""

Row = dict[str, Any]
# One statement sees one moment of all databases, for they share a server and its snapshots.
Query = Callable[[str, Sequence[Any]], Awaitable[list[Row]]]


class CannotRead(Exception):
    """The databases cannot be read; the message says why."""


async def connect(url: str) -> aiomysql.Connection:
    """A connection to `mysql://user:password@host:port/database`, or to one of several servers that writes.

    Raises `CannotRead`.
    """
    try:
        servers = parse(url, DATABASE_SERVER)
        connection = await connections.connect(servers, answer_s=PATIENCE_S, lock_wait_s=10)
        # A list of ids must not be cut after the default of 1,024 characters.
        await connection.query("SET SESSION group_concat_max_len = 100000")
        return connection
    except (pymysql.err.MySQLError, OSError, ValueError) as error:
        raise CannotRead(
            f"the databases cannot be read: {said(error)}\n`./just up` starts the shop; SHOP_VERIFY_URL"
            " names another read-only user"
        ) from error


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Query]:
    """A way to ask `mysql://user:password@host:port/`; times are UTC.

    Raises:
        CannotRead: no connection; from the query: no right to read, or no such table.
    """
    connection = await connect(url)

    async def query(sql: str, args: Sequence[Any]) -> list[Row]:
        async with connection.cursor(aiomysql.DictCursor) as cursor:
            try:
                await cursor.execute(sql, args)
                return list(await cursor.fetchall())
            except pymysql.err.MySQLError as error:
                raise CannotRead(f"the databases cannot be read: {said(error)}") from error

    try:
        yield query
    finally:
        connection.close()


def said(error: Exception) -> str:
    """What the server said was wrong."""
    return str(error.args[1]) if len(error.args) > 1 else str(error)
