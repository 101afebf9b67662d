"""Rows that have had their time: deleted in small units of work, so that nobody waits for a long one."""

from datetime import timedelta

from shared.database.transaction import Transaction
from shared.database.units import Database

PURGE_ROWS = 1000


async def purge(database: Database, table: str, moment: str, days: float) -> int:
    """Delete the rows of `table` whose column `moment` is more than `days` ago; returns how many went.

    Every replica may do it at the same time. The column needs an index.
    """
    gone = 0
    while True:

        async def some(tx: Transaction) -> int:
            return await tx.execute(
                f"DELETE FROM {table} WHERE {moment} < %s ORDER BY {moment} LIMIT %s",
                (tx.now - timedelta(days=days), PURGE_ROWS),
            )

        removed = await database.transaction(some)
        gone += removed
        if removed < PURGE_ROWS:
            return gone
