"""Which changes were carried out, by the id of the request: one that is repeated is answered, not redone."""

from uuid import UUID

from item_svc.models import ItemRequest
from shared.database import Transaction


async def done_for(tx: Transaction, request_id: UUID) -> int | None:
    """The item that a request changed, if it was carried out already."""
    done = await ItemRequest.get_or_none(id=request_id, using_db=tx.models)
    return done.item_id if done is not None else None


async def mark_done(tx: Transaction, request_id: UUID, item_id: int) -> None:
    """Keep that a request was carried out; a twin that was faster makes the whole unit run again."""
    await ItemRequest.create(id=request_id, item_id=item_id, done_at=tx.now, using_db=tx.models)
