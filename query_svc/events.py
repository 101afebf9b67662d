"""What query hears: everything that anybody publishes."""

from query_svc import store
from shared.cloudevents import Undecoded
from shared.database import Transaction


async def take_in(events: list[Undecoded], tx: Transaction) -> None:
    """Keep every event that is not kept yet."""
    head = await store.lock_head(tx)
    await store.append(tx, head, events)
    await store.save_head(tx, head)
