"""Prices and stock of many items: locked, moved and recorded for a list of orders at once."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from item_svc.contracts import StockCause
from item_svc.domain import Movement, OnShelf
from shared.database import Query, Row, Select, Transaction, each


class NamedItem(Row):
    """What an item is called."""

    id: int
    name: str


class HeldPieces(Row):
    """How many pieces of an item an order took."""

    order_id: UUID
    item_id: int
    pieces: int


# In the order of their ids, against deadlocks. On a small table the optimizer may walk another index, and
# then lock in that one's order.
LOCKED = Select(OnShelf, "FROM items FORCE INDEX (PRIMARY) WHERE id IN %s ORDER BY id FOR UPDATE")
NAMES = Select(NamedItem, "FROM items WHERE id IN %s")
HELD = Select(
    HeldPieces,
    "FROM stock_history WHERE order_id IN %s AND cause = 'order'",
    made={"order_id": "order_id", "pieces": "-delta"},
)


def locked_shelf(item_ids: Collection[int]) -> Query[dict[int, OnShelf]]:
    """Those items that are on sale, locked."""
    return LOCKED.among(item_ids).then(lambda items: {item.id: item for item in items if not item.retired})


async def lock_stock(tx: Transaction, item_ids: Collection[int]) -> dict[int, int]:
    """The stock of items, on sale or not, locked: what is given back may be of an item long gone."""
    [items] = await tx.ask(LOCKED.among(item_ids))
    return {item.id: item.stock for item in items}


async def names_of(tx: Transaction, item_ids: Collection[int]) -> dict[int, str]:
    """What items are called now, on sale or not."""
    [items] = await tx.ask(NAMES.among(item_ids))
    return {item.id: item.name for item in items}


async def held_by(tx: Transaction, order_ids: Collection[UUID]) -> dict[UUID, dict[int, int]]:
    """The pieces of each item that orders took, by order. Their claims must be locked."""
    [taken] = await tx.ask(HELD.among(order_ids))
    held: dict[UUID, dict[int, int]] = {order_id: {} for order_id in order_ids}
    for one in taken:
        held[one.order_id][one.item_id] = one.pieces
    return held


async def save_movements(
    tx: Transaction, cause: StockCause, by_order: Mapping[UUID, Sequence[Movement]]
) -> None:
    """Move the stock of locked items by all that orders took or gave back, and keep the history of it.

    The table's own check refuses a stock below zero, should anything here ever be wrong.
    """
    deltas: dict[int, int] = {}
    for movements in by_order.values():
        for movement in movements:
            deltas[movement.item_id] = deltas.get(movement.item_id, 0) + movement.delta
    for delta, ids in each(dict(sorted(deltas.items()))):
        await tx.write("UPDATE items SET stock = stock + %s WHERE id IN %s", [delta, ids])
    await tx.write_many(
        "INSERT INTO stock_history (item_id, order_id, delta, balance, cause, at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [
            (movement.item_id, order_id, movement.delta, movement.balance, cause, tx.now)
            for order_id, movements in by_order.items()
            for movement in movements
        ],
    )
