"""The history of items' stock: what no order changed is written here, and all of it is listed."""

import msgspec

from item_svc import contracts
from item_svc.models import Item, StockChange
from shared.database import Reader, Transaction, page
from shared.errors import NotFound


async def record(
    tx: Transaction,
    cause: contracts.StockCause,
    item: Item,
    delta: int,
    reason: str | None = None,
    *,
    by: int | None = None,
) -> None:
    """Keep a change of an item's stock that no order made; `by` is the user who did it by hand."""
    await StockChange.create(
        item_id=item.id,
        delta=delta,
        balance=item.stock,
        cause=cause,
        reason=reason,
        at=tx.now,
        by=by or None,
        using_db=tx.models,
    )


async def stock_history(call: contracts.StockHistory, db: Reader) -> contracts.StockHistoryPage:
    """Every change of an item's stock, also of one that is no longer on sale."""
    query = StockChange.filter(item_id=call.id).using_db(db.models).order_by("-id")
    if call.after is not None:
        query = query.filter(id__lt=call.after)
    changes, more = await page(call.limit, query.limit, key=lambda change: change.id)
    if not changes and not await Item.exists(id=call.id, using_db=db.models):
        raise NotFound(f"There is no item {call.id}.")
    shown = msgspec.convert(changes, list[contracts.StockChange], from_attributes=True)
    return contracts.StockHistoryPage(items=shown, next=more)
