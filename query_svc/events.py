"""What query hears: everything that anybody publishes."""

from query_svc import audit, projections, store
from shared.database import Transaction
from shared.events import Undecoded


async def take_in(events: list[Undecoded], tx: Transaction) -> None:
    """Keep every event that is not kept yet, and add what it tells to the views.

    While the views are being rebuilt it is only kept: the rebuild comes by it.
    """
    head = await store.lock_head(tx)
    was_folded = head.is_folded
    fresh = await store.append(tx, head, events)
    await audit.keep(tx, fresh)
    if was_folded:
        await projections.fold(tx, fresh)
        head.folded = head.position
    await store.save_head(tx, head)
