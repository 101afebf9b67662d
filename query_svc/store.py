"""The event store: every event once, in the order in which they were committed here."""

from collections.abc import Sequence

import msgspec

from query_svc.domain import Kept, keep
from shared.cloudevents import Undecoded
from shared.database import Transaction


class Head(msgspec.Struct):
    """Where the store ends, and up to where the views contain it. Whoever holds it has locked it."""

    position: int
    folded: int
    wiping: bool

    @property
    def is_folded(self) -> bool:
        """Whether the views contain all that is stored."""
        return self.folded == self.position and not self.wiping


async def lock_head(tx: Transaction) -> Head:
    """Become the one who writes; the others wait until this transaction ends."""
    row = await tx.row("SELECT position, folded, wiping FROM event_store_head WHERE id = 1 FOR UPDATE")
    if row is None:
        raise LookupError("event_store_head has no row: the migrations of query_svc are not complete")
    return Head(row[0], row[1], bool(row[2]))


async def save_head(tx: Transaction, head: Head) -> None:
    """Keep how far store and views have come."""
    await tx.execute(
        "UPDATE event_store_head SET position = %s, folded = %s, wiping = %s WHERE id = 1",
        [head.position, head.folded, head.wiping],
    )


async def append(tx: Transaction, head: Head, events: Sequence[Undecoded]) -> list[Kept]:
    """Add the events that are not in the store yet, at the positions after its head; returns those."""
    by_id = {event.id: event for event in events}
    known = await tx.rows("SELECT message_id FROM saga_event_log WHERE message_id IN %s", [sorted(by_id)])
    for (message_id,) in known:
        del by_id[message_id]
    fresh = [keep(event, head.position + number) for number, event in enumerate(by_id.values(), start=1)]
    await tx.execute_many(
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
