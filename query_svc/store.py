"""The event store: every event once, in the order in which they were committed here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from query_svc.domain import Kept, keep
from shared.database import Reader, Row, Select, Transaction, columns, page, values
from shared.events import Undecoded

PAGE_BYTES = 1024 * 1024
"""How much event data a page may hold: a thousand small events, or a few of the largest."""


class Head(msgspec.Struct):
    """Where the store ends, and up to where the views contain it."""

    position: int
    folded: int
    wiping: bool

    @property
    def is_folded(self) -> bool:
        """Whether the views contain all that is stored."""
        return self.folded == self.position and not self.wiping


class Stored(Kept, frozen=True, kw_only=True):
    """An event with the time at which it was stored."""

    stored_at: datetime


class _Size(Row):
    position: int
    bytes: int


class _Known(Row):
    message_id: str


_HEAD = Select(Head, "FROM event_store_head WHERE id = 1")
_LOCKING_HEAD = _HEAD + "FOR UPDATE"
_KNOWN = Select(_Known, "FROM saga_event_log WHERE message_id IN %s")
_EVENTS = Select(Kept, "FROM saga_event_log")
_EVENT = _EVENTS + "WHERE message_id = %s"
_OF_SAGA = _EVENTS + "WHERE saga_id = %s ORDER BY position"
_OF_TYPES = _EVENTS + "WHERE position > %s AND position <= %s AND event_type IN %s ORDER BY position"
_SIZES = Select(_Size, "FROM saga_event_log", made={"bytes": "LENGTH(event_data)"})
_INSERT = (
    f"INSERT INTO saga_event_log ({columns(Kept)}, stored_at)"
    f" VALUES ({', '.join(['%s'] * len(Kept.__struct_fields__))}, %s)"
)
_STORED = Select(Stored, "FROM saga_event_log WHERE position IN %s ORDER BY position")


async def lock_head(tx: Transaction) -> Head:
    """Become the one who writes; the others wait until this transaction ends."""
    return _there(await tx.find_one(_LOCKING_HEAD))


async def read_head(db: Reader) -> Head:
    """How far store and views have come, just to know it."""
    return _there(await db.find_one(_HEAD))


def _there(head: Head | None) -> Head:
    if head is None:
        raise LookupError("event_store_head has no row: the migrations of query_svc are not complete")
    return head


async def save_head(tx: Transaction, head: Head) -> None:
    """Keep how far store and views have come."""
    await tx.write(
        "UPDATE event_store_head SET position = %s, folded = %s, wiping = %s WHERE id = 1",
        [head.position, head.folded, head.wiping],
    )


async def append(tx: Transaction, head: Head, events: Sequence[Undecoded]) -> list[Kept]:
    """Add the events that are not in the store yet, at the positions after its head; returns those."""
    by_id = {event.id: event for event in events}
    # That an event is there already shows when its row is written. Only then is there anything to look up.
    for known in await tx.find(_KNOWN, sorted(by_id)) if tx.is_again else ():
        del by_id[known.message_id]
    fresh = [keep(event, head.position + number) for number, event in enumerate(by_id.values(), start=1)]
    await tx.write_many(_INSERT, [(*values(one), tx.now) for one in fresh])
    head.position += len(fresh)
    return fresh


async def read_kept(db: Reader, after: int, until: int, types: Sequence[str]) -> list[Kept]:
    """The events of some types above one position up to another."""
    return await db.find(_OF_TYPES, after, until, types)


async def read_saga(db: Reader, saga_id: str) -> list[Kept]:
    """All events of a saga, in the order in which they were stored."""
    return await db.find(_OF_SAGA, saga_id)


async def read_page(
    db: Reader, after: int, limit: int, *, saga_id: str | None = None
) -> tuple[list[Stored], bool]:
    """Events above a position, and whether there are more of them.

    A page holds `limit` events or `PAGE_BYTES`, but one event at least.
    """
    where, args = "position > %s", list[Any]([after])
    if saga_id is not None:
        where, args = f"saga_id = %s AND {where}", [saga_id, *args]
    select = _SIZES + f"WHERE {where} ORDER BY position LIMIT %s"
    sizes, after_these = await page(
        limit, lambda most: db.find(select, *args, most), lambda one: one.position
    )
    positions: list[int] = []
    size = 0
    for one in sizes:
        if positions and size + one.bytes > PAGE_BYTES:
            break
        positions.append(one.position)
        size += one.bytes
    if not positions:
        return [], False
    more = after_these is not None or len(positions) < len(sizes)
    return await db.find(_STORED, positions), more


async def read_event(db: Reader, message_id: str) -> Kept | None:
    """An event by its message id."""
    return await db.find_one(_EVENT, message_id)
