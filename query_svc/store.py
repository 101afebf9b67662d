"""The event store: every event once, in the order in which they were committed here."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from query_svc.domain import Kept, keep
from shared.database.transaction import Reader, Transaction
from shared.events.cloudevents import Undecoded

PAGE_BYTES = 1024 * 1024
"""How much event data a page may hold: a thousand small events, or a few of the largest."""

_HEAD = "SELECT position, folded, wiping FROM event_store_head WHERE id = 1"


class Head(msgspec.Struct):
    """Where the store ends, and up to where the views contain it."""

    position: int
    folded: int
    wiping: bool

    @property
    def is_folded(self) -> bool:
        """Whether the views contain all that is stored."""
        return self.folded == self.position and not self.wiping


async def lock_head(tx: Transaction) -> Head:
    """Become the one who writes; the others wait until this transaction ends."""
    return _head(await tx.row(f"{_HEAD} FOR UPDATE"))


async def read_head(db: Reader) -> Head:
    """How far store and views have come, just to know it."""
    return _head(await db.row(_HEAD))


def _head(row: tuple[Any, ...] | None) -> Head:
    if row is None:
        raise LookupError("event_store_head has no row: the migrations of query_svc are not complete")
    return Head(row[0], row[1], bool(row[2]))


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
    for message_id in await _known(tx, by_id) if tx.is_again else ():
        del by_id[message_id]
    fresh = [keep(event, head.position + number) for number, event in enumerate(by_id.values(), start=1)]
    await tx.write_many(
        "INSERT INTO saga_event_log (position, message_id, saga_id, service, event_type, event_data, status,"
        " time, stored_at, subject, sequence, correlation_id, causation_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                one.position,
                one.message_id,
                one.saga_id,
                one.service,
                one.event_type,
                one.event_data,
                one.status,
                one.time,
                tx.now,
                one.subject,
                one.sequence,
                one.correlation_id,
                one.causation_id,
            )
            for one in fresh
        ],
    )
    head.position += len(fresh)
    return fresh


async def _known(tx: Transaction, message_ids: Iterable[str]) -> list[str]:
    rows = await tx.rows(
        "SELECT message_id FROM saga_event_log WHERE message_id IN %s", [sorted(message_ids)]
    )
    return [message_id for (message_id,) in rows]


_COLUMNS = (
    "position, message_id, saga_id, service, event_type, event_data, status, time, subject, sequence,"
    " correlation_id, causation_id"
)


async def read_kept(db: Reader, after: int, until: int, types: Sequence[str]) -> list[Kept]:
    """The events of some types above one position up to another."""
    rows = await db.rows(
        f"SELECT {_COLUMNS} FROM saga_event_log WHERE position > %s AND position <= %s"  # noqa: S608
        " AND event_type IN %s ORDER BY position",
        [after, until, types],
    )
    return [_kept(row) for row in rows]


async def read_saga(db: Reader, saga_id: str) -> list[Kept]:
    """All events of a saga, in the order in which they were stored."""
    rows = await db.rows(
        f"SELECT {_COLUMNS} FROM saga_event_log WHERE saga_id = %s ORDER BY position",  # noqa: S608
        [saga_id],
    )
    return [_kept(row) for row in rows]


def _kept(row: tuple[Any, ...]) -> Kept:
    return Kept(
        position=row[0],
        message_id=row[1],
        saga_id=row[2],
        service=row[3],
        event_type=row[4],
        event_data=row[5],
        status=row[6],
        time=row[7],
        subject=row[8],
        sequence=row[9],
        correlation_id=row[10],
        causation_id=row[11],
    )


async def read_page(
    db: Reader, after: int, limit: int, *, saga_id: str | None = None
) -> tuple[list[tuple[Kept, datetime]], bool]:
    """Events above a position with the times they were stored, and whether there are more of them.

    A page holds `limit` events or `PAGE_BYTES`, but one event at least.
    """
    where, args = "position > %s", list[Any]([after])
    if saga_id is not None:
        where, args = f"saga_id = %s AND {where}", [saga_id, *args]
    sizes = await db.rows(
        f"SELECT position, LENGTH(event_data) FROM saga_event_log WHERE {where} ORDER BY position LIMIT %s",  # noqa: S608
        [*args, limit + 1],
    )
    positions: list[int] = []
    size = 0
    for position, length in sizes[:limit]:
        if positions and size + length > PAGE_BYTES:
            break
        positions.append(position)
        size += length
    if not positions:
        return [], False
    rows = await db.rows(
        f"SELECT {_COLUMNS}, stored_at FROM saga_event_log WHERE position IN %s ORDER BY position",  # noqa: S608
        [positions],
    )
    return [(_kept(row[:-1]), row[-1]) for row in rows], len(sizes) > len(positions)


async def read_event(db: Reader, message_id: str) -> Kept | None:
    """An event by its message id."""
    row = await db.row(f"SELECT {_COLUMNS} FROM saga_event_log WHERE message_id = %s", [message_id])  # noqa: S608
    return _kept(row) if row else None
