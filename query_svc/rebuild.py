"""Making the views again from the store, in small steps between which events go on to come in.

How far it is stands in the store's head, so any replica goes on where another one died.
"""

from query_svc import projections, store
from query_svc.store import Head
from shared.database import Database, Transaction

STEP_ROWS = 10_000
STEP_EVENTS = 500


async def begin(tx: Transaction) -> None:
    """From now on the views are out of date: they are to be emptied, then filled from the first event on."""
    head = await store.lock_head(tx)
    await store.save_head(tx, Head(position=head.position, folded=0, wiping=True))


async def carry_on(database: Database) -> None:
    """A job: bring the views to the end of the store, if they are not there."""
    while not (await database.read(store.read_head)).is_folded:
        await database.transaction(step)


async def step(tx: Transaction) -> None:
    """Empty or fill the views a little further."""
    head = await store.lock_head(tx)
    if head.wiping:
        removed = [
            await tx.execute(f"DELETE FROM {table} LIMIT {STEP_ROWS:d}") for table in projections.TABLES
        ]
        head.wiping = any(removed)
    elif head.folded < head.position:
        until = min(head.folded + STEP_EVENTS, head.position)
        await projections.fold(tx, await store.read_kept(tx, head.folded, until, projections.READ))
        head.folded = until
    await store.save_head(tx, head)
