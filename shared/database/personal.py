"""What a service keeps of a person, as a declaration beside its models; export and erasure follow from it.

A user's number stays where books need it: once the user's own row is erased, it leads to nobody.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from shared.database.transaction import Reader, Transaction
from shared.messages import KeptOf

AT_ONCE = 100
MOST_ROWS = 1000
MOST_BYTES = 4_000_000
"""Of one service's part of an export, which is one message."""


class Held(Struct, frozen=True, kw_only=True):
    """A table with rows of persons: whose they are, what is told in an export, what an erasure leaves.

    `inner` columns mean nothing to a person, or are secrets. Without `erased`, rows are deleted; else these
    columns become that (`{user}` in a text is the user's number), and `why` says why the rest stays.
    """

    table: str
    whose: str = "user_id"
    shown: tuple[str, ...]
    documents: tuple[str, ...] = ()
    """Those of the shown columns that hold JSON."""
    inner: tuple[str, ...] = ()
    erased: Mapping[str, str | int | None] | None = None
    why: str = ""

    @property
    def unerased(self) -> tuple[str, list[Any]]:
        """A condition for rows that an erasure has not reached, with its values."""
        if self.erased is None:
            return "1 = 1", []
        # Hashes are erased with the rest, and `verify`, which asks, may read none.
        plain = {
            name: value
            for name, value in self.erased.items()
            if "{user}" not in str(value) and not name.endswith("_hash")
        }
        if not plain:
            return "1 = 0", []
        return f"NOT ({' AND '.join(f'`{name}` <=> %s' for name in plain)})", list(plain.values())


ANSWERS = Held(
    table="kept_answers",
    whose="owner",
    shown=("call", "created_at"),
    inner=("id", "fingerprint", "answer", "work", "running_until"),
)
"""In every service: the first answers of a user's requests, which are kept for some days anyway."""


async def kept_of(db: Reader, held: Sequence[Held], user_id: int) -> KeptOf:
    """What these tables hold of a user, the newest first where that is known; no more than fits a message."""
    tables: dict[str, list[dict[str, Any]]] = {}
    cut: list[str] = []
    left = MOST_BYTES
    for one in (*held, ANSWERS):
        found: list[dict[str, Any]] = []
        whole = False
        while not whole and len(found) < MOST_ROWS and left > 0:
            rows = await db.rows(
                f"SELECT {', '.join(f'`{name}`' for name in one.shown)} FROM `{one.table}`"
                f" WHERE `{one.whose}` = %s ORDER BY {_newest(one)} LIMIT {AT_ONCE} OFFSET %s",
                (user_id, len(found)),
            )
            whole = len(rows) < AT_ONCE
            told = [_told(one, row) for row in rows]
            left -= len(msgspec.json.encode(told))
            found += told
        tables[one.table] = found
        if not whole:
            cut.append(one.table)
    return KeptOf(tables=tables, cut=cut)


async def erase(tx: Transaction, held: Sequence[Held], user_id: int) -> None:
    """Erase what these tables hold of a user, and the answers kept for them; once more changes nothing."""
    for one in held:
        if one.erased is None:
            await tx.execute(f"DELETE FROM `{one.table}` WHERE `{one.whose}` = %s", (user_id,))
        elif one.erased:
            changes = ", ".join(f"`{column}` = %s" for column in one.erased)
            values = [
                value.replace("{user}", str(user_id)) if isinstance(value, str) else value
                for value in one.erased.values()
            ]
            await tx.execute(
                f"UPDATE `{one.table}` SET {changes} WHERE `{one.whose}` = %s",
                (*values, user_id),
            )
    # Looked up without locks first: a deletion by a column without an index would hold everybody's.
    kept = await tx.rows("SELECT id FROM kept_answers WHERE owner = %s", (user_id,))
    if kept:
        await tx.execute("DELETE FROM kept_answers WHERE id IN %s", ([key for (key,) in kept],))


def _told(held: Held, row: tuple[Any, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in zip(held.shown, row, strict=True):
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        elif name in held.documents and value:
            value = msgspec.json.decode(str(value))
        told[name] = msgspec.to_builtins(value)
    return told


def _newest(held: Held) -> str:
    """An order in which pages neither overlap nor leave anything out."""
    return ", ".join(f"{place} DESC" for place in range(1, min(len(held.shown), 3) + 1))
