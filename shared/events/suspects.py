"""Killers: events whose handling ends the process, told by our own count of what was begun and never ended.

The broker counts how often a message came back, but every return counts there, also those while a database
or the broker itself is away. So what may be a killer is written down before it is handled, and taken out when
that has ended, in whatever way: what stays has killed a process.
"""

import hashlib

from shared.database.queries import Row, Select
from shared.database.transaction import Transaction
from shared.database.units import Database

DEATHS = 3
"""An event that has killed so many processes is a dead letter."""


class _Suspect(Row):
    begun: int


_SUSPECT = Select(_Suspect, "FROM suspects WHERE id = %s FOR UPDATE")


def suspect_id(queue: str, raw: bytes) -> str:
    """What names an event of a queue, whoever made its id."""
    return hashlib.sha256(queue.encode() + b"\0" + raw).hexdigest()


async def begin(database: Database, suspect: str) -> int:
    """Write down that its handling begins; returns how often it was begun before and never ended."""

    async def count(tx: Transaction) -> int:
        before = await tx.find_one(_SUSPECT, suspect)
        await tx.execute(
            "INSERT INTO suspects (id, begun, begun_at) VALUES (%s, 1, %s)"
            " ON DUPLICATE KEY UPDATE begun = begun + 1, begun_at = VALUES(begun_at)",
            (suspect, tx.now),
        )
        return before.begun if before is not None else 0

    return await database.transaction(count)


async def end(database: Database, suspect: str) -> None:
    """It has not killed us."""
    await database.execute("DELETE FROM suspects WHERE id = %s", [suspect])
