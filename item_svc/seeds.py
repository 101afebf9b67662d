"""What a new shop has on its shelf."""

from item_svc.calls import add_item
from item_svc.models import Item
from shared.database import Transaction

ITEMS = (
    (1, "Shirt", "90-S", 49_800, 1_000),
    (2, "Shirt", "100-M", 49_800, 1_000),
    (3, "Shirt", "110-L", 49_800, 1_000),
    (4, "Coat", "-", 245_000, 200),
)
"""Id, name, size, price in won, and how many."""


async def seed(tx: Transaction) -> None:
    """Put in the items that are missing; those that are there keep the stock that orders left them."""
    for item_id, name, size, price, stock in ITEMS:
        if not await Item.exists(id=item_id, using_db=tx.models):
            await add_item(tx, id=item_id, name=name, size=size, price=price, stock=stock)
