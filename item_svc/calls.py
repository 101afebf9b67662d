"""The calls that item answers: the catalogue, its stock and carts, as people see and change them."""

from typing import cast
from uuid import UUID

from item_svc import contracts, models
from item_svc.domain import MAX_CART_LINES, Movement, adjusted, tidy
from item_svc.requests import done_for, mark_done
from item_svc.store import carts
from item_svc.store.stock import record
from shared.clock import aware
from shared.database.pipeline import DuplicateKey
from shared.database.transaction import Reader, Transaction
from shared.errors import Conflict, FieldError, NotFound, RuleBroken, Stale


async def create_item(call: contracts.CreateItem, tx: Transaction) -> contracts.ItemId:
    """Put an item into the catalogue, its first stock on the shelf."""
    name, size = tidy(call.name, "name"), tidy(call.size, "size")
    if (item_id := await done_for(tx, call.request_id)) is not None:
        return contracts.ItemId(id=item_id)
    try:
        item_id = await tx.insert(
            "INSERT INTO items"
            " (name, size, price, stock, initial_stock, version, retired, created_at, changed_at)"
            " VALUES (%s, %s, %s, %s, %s, 1, 0, %s, %s)",
            [name, size, call.price, call.stock_quantity, call.stock_quantity, tx.now, tx.now],
        )
    except DuplicateKey:
        # It may have been this very request, a moment ago on another connection.
        if (item_id := await done_for(tx, call.request_id)) is not None:
            return contracts.ItemId(id=item_id)
        raise _taken(name, size) from None
    await record(tx, "initial", Movement(item_id, call.stock_quantity, call.stock_quantity))
    await mark_done(tx, call.request_id, item_id)
    tx.emit(
        contracts.ItemCreated(item_id=item_id, name=name, size=size, price=call.price, version=1), sequence=1
    )
    return contracts.ItemId(id=item_id)


async def get_item(call: contracts.GetItem, db: Reader) -> contracts.Item:
    """One item that is on sale."""
    item = await models.Item.get_or_none(id=call.id, retired=0, using_db=db.models)
    if item is None:
        raise _missing(call.id)
    return _view(item)


async def get_items(call: contracts.GetItems, db: Reader) -> contracts.ItemPage:
    """Those of the items asked for that are on sale."""
    wanted = models.Item.filter(id__in=sorted(set(call.ids)), retired=0)
    items = await wanted.using_db(db.models).order_by("id")
    return contracts.ItemPage(items=[_view(item) for item in items])


async def list_items(call: contracts.ListItems, db: Reader) -> contracts.ItemPage:
    """A page of what is on sale, one row more being read to know whether another page follows."""
    query = models.Item.filter(id__gt=call.after or 0, retired=0).using_db(db.models)
    if call.q is not None:
        query = query.filter(name__icontains=call.q)
    items = await query.order_by("id").limit(call.limit + 1)
    page = [_view(item) for item in items[: call.limit]]
    return contracts.ItemPage(items=page, next=page[-1].id if len(items) > call.limit else None)


async def change_item(call: contracts.ChangeItem, tx: Transaction) -> contracts.Item:
    """Change what is given, unless somebody else changed the item first."""
    item = await _lock(tx, call.id)
    if await done_for(tx, call.request_id) is not None:
        return _view(item)
    _check_version(item, call.expected_version)
    if call.name is not None:
        item.name = tidy(call.name, "name")
    if call.size is not None:
        item.size = tidy(call.size, "size")
    if call.price is not None:
        item.price = call.price
    item.version += 1
    try:
        await tx.execute(
            "UPDATE items SET name = %s, size = %s, price = %s, version = %s, changed_at = %s WHERE id = %s",
            [item.name, item.size, item.price, item.version, tx.now, item.id],
        )
    except DuplicateKey:
        raise _taken(item.name, item.size) from None
    await mark_done(tx, call.request_id, item.id)
    _tell_change(tx, item)
    return _view(item)


async def delete_item(call: contracts.DeleteItem, tx: Transaction) -> None:
    """Take an item off sale. Its row stays for the orders that hold some of it, its name becomes free."""
    item = await _lock(tx, call.id)
    if await done_for(tx, call.request_id) is not None:
        return
    _check_version(item, call.expected_version)
    await tx.write(
        "UPDATE items SET retired = id, version = version + 1, changed_at = %s WHERE id = %s",
        [tx.now, item.id],
    )
    await mark_done(tx, call.request_id, item.id)
    version = item.version + 1
    tx.emit(contracts.ItemDeleted(item_id=item.id, version=version), sequence=version)


async def adjust_stock(call: contracts.AdjustStock, tx: Transaction) -> contracts.Item:
    """Change an item's stock by hand."""
    reason = tidy(call.reason, "reason")
    item = await _lock(tx, call.id)
    if await done_for(tx, call.request_id) is not None:
        return _view(item)
    _check_on_sale(item)
    item.stock = adjusted(item.stock, call.delta)
    item.version += 1
    await tx.write(
        "UPDATE items SET stock = %s, version = %s, changed_at = %s WHERE id = %s",
        [item.stock, item.version, tx.now, item.id],
    )
    await record(tx, "adjustment", Movement(item.id, call.delta, item.stock), reason)
    await mark_done(tx, call.request_id, item.id)
    _tell_change(tx, item)
    return _view(item)


async def stock_history(call: contracts.StockHistory, db: Reader) -> contracts.StockHistoryPage:
    """Every change of an item's stock, also of one that is no longer on sale."""
    query = models.StockChange.filter(item_id=call.id).using_db(db.models)
    if call.after is not None:
        query = query.filter(id__lt=call.after)
    rows = await query.order_by("-id").limit(call.limit + 1)
    if not rows and not await models.Item.exists(id=call.id, using_db=db.models):
        raise _missing(call.id)
    changes = [
        contracts.StockChange(
            id=row.id,
            delta=row.delta,
            balance=row.balance,
            cause=cast(contracts.StockCause, row.cause),
            order_id=UUID(row.order_id) if row.order_id else None,
            reason=row.reason,
            at=aware(row.at),
        )
        for row in rows[: call.limit]
    ]
    return contracts.StockHistoryPage(items=changes, next=changes[-1].id if len(rows) > call.limit else None)


async def get_cart(call: contracts.GetCart, db: Reader) -> contracts.Cart:
    """A cart, with prices and stock as they are now."""
    return await _cart(db, call.user_id)


async def set_cart_line(call: contracts.SetCartLine, tx: Transaction) -> contracts.Cart:
    """Put an item into a cart, or change how many of it are there."""
    if not await models.Item.exists(id=call.item_id, retired=0, using_db=tx.models):
        raise _missing(call.item_id)
    if not await carts.has_room(tx, call.user_id, call.item_id, MAX_CART_LINES):
        raise RuleBroken(f"The cart is full: it holds {MAX_CART_LINES} different items.")
    await carts.set_line(tx, call.user_id, call.item_id, call.quantity)
    return await _cart(tx, call.user_id)


async def remove_cart_line(call: contracts.RemoveCartLine, tx: Transaction) -> None:
    """Take an item out of a cart."""
    await carts.remove_lines(tx, call.user_id, call.item_id)


async def clear_cart(call: contracts.ClearCart, tx: Transaction) -> None:
    """Take everything out of a cart."""
    await carts.remove_lines(tx, call.user_id)


async def _cart(db: Reader, user_id: int) -> contracts.Cart:
    lines = [
        contracts.CartLine(
            item_id=item_id,
            name=name,
            size=size,
            quantity=quantity,
            price=price,
            available_quantity=0 if retired else stock,
            available=not retired and stock >= quantity,
        )
        for item_id, quantity, name, size, price, stock, retired in await carts.lines_of(db, user_id)
    ]
    return contracts.Cart(items=lines)


async def _lock(tx: Transaction, item_id: int) -> models.Item:
    """An item, on sale or not. Locked before all else, so that a repeated request waits for the first."""
    item = await models.Item.filter(id=item_id).using_db(tx.models).select_for_update().get_or_none()
    if item is None:
        raise _missing(item_id)
    return item


def _check_on_sale(item: models.Item) -> None:
    if item.retired:
        raise _missing(item.id)


def _check_version(item: models.Item, expected: int) -> None:
    _check_on_sale(item)
    if item.version != expected:
        raise Stale(f"Item {item.id} is at version {item.version}, not {expected}.")


def _tell_change(tx: Transaction, item: models.Item) -> None:
    tx.emit(
        contracts.ItemChanged(
            item_id=item.id, name=item.name, size=item.size, price=item.price, version=item.version
        ),
        sequence=item.version,
    )


def _view(item: models.Item) -> contracts.Item:
    return contracts.Item(
        id=item.id,
        name=item.name,
        size=item.size,
        price=item.price,
        available_quantity=item.stock,
        version=item.version,
    )


def _missing(item_id: int) -> NotFound:
    return NotFound(f"There is no item {item_id}.")


def _taken(name: str, size: str) -> Conflict:
    return Conflict(
        f"There is an item {name!r} of size {size!r} already.",
        errors=[FieldError("name", "is taken in this size")],
    )
