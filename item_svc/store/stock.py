"""The shelf: prices and stock of many items, locked, moved and recorded for a list of orders at once."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from item_svc.contracts import StockCause
from item_svc.domain import Movement, OnShelf
from shared.database.transaction import Query, Transaction, among

CASES_PER_UPDATE = 500
"""The database walks through a CASE for every row, so one of thousands of items would cost its square."""

# On a small table the optimizer may walk another index, and then lock in that one's order.
_LOCKING = (
    "SELECT id, price, stock, retired, name FROM items FORCE INDEX (PRIMARY)"
    " WHERE id IN %s ORDER BY id FOR UPDATE"
)


def locked_shelf(item_ids: Collection[int]) -> Query[dict[int, OnShelf]]:
    """Those items that are on sale, locked in the order of their ids against deadlocks."""
    return among(
        _LOCKING,
        item_ids,
        lambda rows: {
            item_id: OnShelf(int(price), int(stock), name)
            for item_id, price, stock, retired, name in rows
            if not retired
        },
    )


async def lock_stock(tx: Transaction, item_ids: Collection[int]) -> dict[int, int]:
    """The stock of items, on sale or not, locked likewise: what is given back may be of an item long gone."""
    [stock] = await tx.ask(
        among(_LOCKING, item_ids, lambda rows: {item_id: int(stock) for item_id, _, stock, _, _ in rows})
    )
    return stock


async def names_of(tx: Transaction, item_ids: Collection[int]) -> dict[int, str]:
    """What items are called now, on sale or not."""
    if not item_ids:
        return {}
    return dict(await tx.rows("SELECT id, name FROM items WHERE id IN %s", [sorted(item_ids)]))


async def held_by(tx: Transaction, order_ids: Collection[UUID]) -> dict[UUID, dict[int, int]]:
    """The pieces of each item that orders took, by order. Their claims must be locked."""
    held: dict[UUID, dict[int, int]] = {order_id: {} for order_id in order_ids}
    if held:
        rows = await tx.rows(
            "SELECT order_id, item_id, -delta FROM stock_history WHERE order_id IN %s AND cause = 'order'",
            [sorted(order_ids)],
        )
        for order_id, item_id, pieces in rows:
            held[UUID(order_id)][item_id] = int(pieces)
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
    changes = sorted(deltas.items())
    for start in range(0, len(changes), CASES_PER_UPDATE):
        part = changes[start : start + CASES_PER_UPDATE]
        cases = " ".join(["WHEN %s THEN %s"] * len(part))
        await tx.write(
            f"UPDATE items SET stock = stock + CASE id {cases} END WHERE id IN %s",  # noqa: S608  placeholders
            [value for change in part for value in change] + [[item_id for item_id, _ in part]],
        )
    await tx.write_many(
        "INSERT INTO stock_history (item_id, order_id, delta, balance, cause, at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [
            (movement.item_id, order_id, movement.delta, movement.balance, cause, tx.now)
            for order_id, movements in by_order.items()
            for movement in movements
        ],
    )


async def record(tx: Transaction, cause: StockCause, movement: Movement, reason: str | None = None) -> None:
    """Keep the history of a change that no order made."""
    await tx.insert(
        "INSERT INTO stock_history (item_id, delta, balance, cause, reason, at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [movement.item_id, movement.delta, movement.balance, cause, reason, tx.now],
    )
