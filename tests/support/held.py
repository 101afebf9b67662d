"""Rows that somebody holds for a while: a connection of a test's own, which locks them and does nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from deploy.databases import connect
from shared.database.failures import RowsLocked
from shared.database.locks import Held, Rows, held_by_others, named
from shared.database.transaction import Transaction
from shared.database.units import Database


@asynccontextmanager
async def rows_held(url: str, *locks: str) -> AsyncIterator[None]:
    """Meanwhile a transaction on another connection holds what these `SELECT ... FOR UPDATE` lock."""
    connection = await asyncio.to_thread(connect, url)
    try:
        with connection.cursor() as cursor:
            await asyncio.to_thread(cursor.execute, "BEGIN")
            for lock in locks:
                assert await asyncio.to_thread(cursor.execute, lock) > 0, f"no row to hold: {lock}"
        yield
    finally:
        connection.close()


async def blames_the_row(
    db: Database,
    handle: Callable[[Transaction], Awaitable[Any]],
    touched: Sequence[Rows],
    table: str,
    where: str,
) -> None:
    """While a row is held, the handler waits for it, and the rows that it is said to touch name this one."""

    async def look(tx: Transaction) -> set[Held]:
        [rows] = await named(tx, [touched])
        return await held_by_others(tx, rows)

    assert await db.transaction(look) == set()
    async with rows_held(db.url, f"SELECT 1 FROM {table} WHERE {where} FOR UPDATE"):
        assert {held.table for held in await db.transaction(look)} == {table}
        try:
            await db.transaction(handle, lock_wait_s=1)
        except RowsLocked:
            return
    raise AssertionError(f"it does not wait for {table}")
