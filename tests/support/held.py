"""Rows that somebody holds for a while: a connection of a test's own, which locks them and does nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.databases import connect


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
