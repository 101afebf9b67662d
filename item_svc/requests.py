"""Which changes were carried out, by the id of the request: one that is repeated is answered, not redone."""

from uuid import UUID

from shared.database.transaction import Transaction


async def done_for(tx: Transaction, request_id: UUID) -> int | None:
    """The item that a request changed, if it was carried out already."""
    row = await tx.row("SELECT item_id FROM item_requests WHERE id = %s", [request_id])
    return int(row[0]) if row else None


async def mark_done(tx: Transaction, request_id: UUID, item_id: int) -> None:
    """Keep that a request was carried out; a twin that was faster makes the whole unit run again."""
    await tx.insert(
        "INSERT INTO item_requests (id, item_id, done_at) VALUES (%s, %s, %s)", [request_id, item_id, tx.now]
    )
