"""The calls that item answers: the catalogue, its stock and carts, as people see and change them."""

from typing import Any

from item_svc import contracts
from item_svc.auditing import audit, facts
from item_svc.domain import MAX_CART_LINES, adjusted, tidy
from item_svc.history import record
from item_svc.models import CartLine, Item
from item_svc.requests import done_for, mark_done
from item_svc.store import carts
from shared.database import DuplicateKey, Reader, Transaction, page
from shared.errors import Conflict, FieldError, NotFound, RuleBroken, Stale


async def create_item(call: contracts.CreateItem, tx: Transaction) -> contracts.ItemId:
    """Put an item into the catalogue, its first stock on the shelf."""
    name, size = tidy(call.name, "name"), tidy(call.size, "size")
    if (item_id := await done_for(tx, call.request_id)) is not None:
        return contracts.ItemId(id=item_id)
    try:
        item = await add_item(
            tx, name=name, size=size, price=call.price, stock=call.stock_quantity, by=call.by
        )
    except DuplicateKey:
        # It may have been this very request, a moment ago on another connection.
        if (item_id := await done_for(tx, call.request_id)) is not None:
            return contracts.ItemId(id=item_id)
        raise _taken(name, size) from None
    await mark_done(tx, call.request_id, item.id)
    audit(tx, call.by, "create item", item, before=None, after=facts(item))
    return contracts.ItemId(id=item.id)


async def add_item(tx: Transaction, *, stock: int, by: int | None = None, **fields: Any) -> Item:
    """Write an item down with its first stock, and tell. Raises `DuplicateKey` if it is there already."""
    item = await Item.create(
        **fields,
        stock=stock,
        initial_stock=stock,
        created_at=tx.now,
        changed_at=tx.now,
        using_db=tx.models,
    )
    await record(tx, "initial", item, stock, by=by)
    tx.emit(
        contracts.ItemCreated(
            item_id=item.id, name=item.name, size=item.size, price=item.price, version=item.version
        ),
        sequence=item.version,
    )
    return item


async def get_item(call: contracts.GetItem, db: Reader) -> contracts.Item:
    """One item that is on sale."""
    item = await Item.get_or_none(id=call.id, retired=0, using_db=db.models)
    if item is None:
        raise _missing(call.id)
    return _view(item)


async def get_items(call: contracts.GetItems, db: Reader) -> contracts.ItemPage:
    """Those of the items asked for that are on sale."""
    wanted = Item.filter(id__in=sorted(set(call.ids)), retired=0)
    items = await wanted.using_db(db.models).order_by("id")
    return contracts.ItemPage(items=[_view(item) for item in items])


async def list_items(call: contracts.ListItems, db: Reader) -> contracts.ItemPage:
    """A page of what is on sale."""
    query = Item.filter(id__gt=call.after or 0, retired=0).using_db(db.models).order_by("id")
    if call.q is not None:
        query = query.filter(name__icontains=call.q)
    items, more = await page(call.limit, query.limit, key=lambda item: item.id)
    return contracts.ItemPage(items=[_view(item) for item in items], next=more)


async def change_item(call: contracts.ChangeItem, tx: Transaction) -> contracts.Item:
    """Change what is given, unless somebody else changed the item first."""
    item = await _lock(tx, call.id)
    if await done_for(tx, call.request_id) is not None:
        return _view(item)
    _check_version(item, call.expected_version)
    before = facts(item)
    if call.name is not None:
        item.name = tidy(call.name, "name")
    if call.size is not None:
        item.size = tidy(call.size, "size")
    if call.price is not None:
        item.price = call.price
    try:
        await _save(tx, item, "name", "size", "price")
    except DuplicateKey:
        raise _taken(item.name, item.size) from None
    await mark_done(tx, call.request_id, item.id)
    audit(tx, call.by, "change item", item, before=before, after=facts(item))
    _tell_change(tx, item)
    return _view(item)


async def delete_item(call: contracts.DeleteItem, tx: Transaction) -> None:
    """Take an item off sale. Its row stays for the orders that hold some of it, its name becomes free."""
    item = await _lock(tx, call.id)
    if await done_for(tx, call.request_id) is not None:
        return
    _check_version(item, call.expected_version)
    item.retired = item.id
    await _save(tx, item, "retired")
    await mark_done(tx, call.request_id, item.id)
    audit(tx, call.by, "delete item", item, before=facts(item), after=None)
    tx.emit(contracts.ItemDeleted(item_id=item.id, version=item.version), sequence=item.version)


async def adjust_stock(call: contracts.AdjustStock, tx: Transaction) -> contracts.Item:
    """Change an item's stock by hand."""
    reason = tidy(call.reason, "reason")
    item = await _lock(tx, call.id)
    if await done_for(tx, call.request_id) is not None:
        return _view(item)
    _check_on_sale(item)
    before = facts(item)
    item.stock = adjusted(item.stock, call.delta)
    await _save(tx, item, "stock")
    await record(tx, "adjustment", item, call.delta, reason, by=call.by)
    audit(tx, call.by, "adjust stock", item, before=before, after=facts(item), reason=reason)
    await mark_done(tx, call.request_id, item.id)
    _tell_change(tx, item)
    return _view(item)


async def get_cart(call: contracts.GetCart, db: Reader) -> contracts.Cart:
    """A cart, with prices and stock as they are now."""
    return await _cart(db, call.user_id)


async def set_cart_line(call: contracts.SetCartLine, tx: Transaction) -> contracts.Cart:
    """Put an item into a cart, or change how many of it are there."""
    if not await Item.exists(id=call.item_id, retired=0, using_db=tx.models):
        raise _missing(call.item_id)
    there = await CartLine.filter(user_id=call.user_id).using_db(tx.models).values_list("item_id", flat=True)
    if len(there) >= MAX_CART_LINES and call.item_id not in there:
        raise RuleBroken(f"The cart is full: it holds {MAX_CART_LINES} different items.")
    await carts.set_line(tx, call.user_id, call.item_id, call.quantity)
    return await _cart(tx, call.user_id)


async def remove_cart_line(call: contracts.RemoveCartLine, tx: Transaction) -> None:
    """Take an item out of a cart."""
    await CartLine.filter(user_id=call.user_id, item_id=call.item_id).using_db(tx.models).delete()


async def clear_cart(call: contracts.ClearCart, tx: Transaction) -> None:
    """Take everything out of a cart."""
    await CartLine.filter(user_id=call.user_id).using_db(tx.models).delete()


async def _cart(db: Reader, user_id: int) -> contracts.Cart:
    lines = [
        contracts.CartLine(
            item_id=line.item_id,
            name=line.name,
            size=line.size,
            quantity=line.quantity,
            price=line.price,
            available_quantity=0 if line.retired else line.stock,
            available=not line.retired and line.stock >= line.quantity,
        )
        for line in await carts.lines_of(db, user_id)
    ]
    return contracts.Cart(items=lines)


async def _lock(tx: Transaction, item_id: int) -> Item:
    """An item, on sale or not. Locked before all else, so that a repeated request waits for the first."""
    item = await Item.filter(id=item_id).using_db(tx.models).select_for_update().get_or_none()
    if item is None:
        raise _missing(item_id)
    return item


async def _save(tx: Transaction, item: Item, *changed: str) -> None:
    """Write down what was changed of an item that is locked, as its next version."""
    item.version += 1
    item.changed_at = tx.now
    await item.save(using_db=tx.models, update_fields=[*changed, "version", "changed_at"])


def _check_on_sale(item: Item) -> None:
    if item.retired:
        raise _missing(item.id)


def _check_version(item: Item, expected: int) -> None:
    _check_on_sale(item)
    if item.version != expected:
        raise Stale(f"Item {item.id} is at version {item.version}, not {expected}.")


def _tell_change(tx: Transaction, item: Item) -> None:
    tx.emit(
        contracts.ItemChanged(
            item_id=item.id, name=item.name, size=item.size, price=item.price, version=item.version
        ),
        sequence=item.version,
    )


def _view(item: Item) -> contracts.Item:
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
