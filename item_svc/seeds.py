"""What a new shop has on its shelf."""

from item_svc.contracts import ItemCreated
from item_svc.domain import Movement
from item_svc.store.stock import record
from shared.database.transaction import Transaction

ITEMS = (
    (1, "Shirt", "90-S", 49_800, 1_000),
    (2, "Shirt", "100-M", 49_800, 1_000),
    (3, "Shirt", "110-L", 49_800, 1_000),
    (4, "Coat", "-", 245_000, 200),
)
"""Id, name, size, price in won, and how many."""


async def seed(tx: Transaction) -> None:
    """Put in the items that are missing; those that are there keep the stock that orders left them."""
    there = {
        row[0] for row in await tx.rows("SELECT id FROM items WHERE id IN %s", [[row[0] for row in ITEMS]])
    }
    for item_id, name, size, price, stock in ITEMS:
        if item_id in there:
            continue
        await tx.insert(
            "INSERT INTO items"
            " (id, name, size, price, stock, initial_stock, version, retired, created_at, changed_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, 1, 0, %s, %s)",
            [item_id, name, size, price, stock, stock, tx.now, tx.now],
        )
        await record(tx, "initial", Movement(item_id, stock, stock))
        tx.emit(ItemCreated(item_id=item_id, name=name, size=size, price=price, version=1), sequence=1)
