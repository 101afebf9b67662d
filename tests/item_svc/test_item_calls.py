"""The catalogue's calls, on a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from item_svc import calls, history
from item_svc.contracts import (
    AdjustStock,
    ChangeItem,
    CreateItem,
    DeleteItem,
    GetItem,
    GetItems,
    Item,
    ItemAudited,
    ItemChanged,
    ItemCreated,
    ItemDeleted,
    ListItems,
    StockHistory,
)
from item_svc.seeds import seed
from shared.database.units import Database
from shared.errors import Conflict, NotFound, RuleBroken, Stale
from shared.ids import new_id
from tests.support.databases import Heard


async def _do(db: Database, handler: Callable[..., Awaitable[Any]], call: Any) -> Any:
    return await db.transaction(lambda tx: handler(call, tx))


async def _ask(db: Database, handler: Callable[..., Awaitable[Any]], call: Any) -> Any:
    return await db.read(lambda reader: handler(call, reader))


def _new(name: str = "Mug", **fields: Any) -> CreateItem:
    return CreateItem(request_id=new_id(), name=name, **{"price": 700, "stock_quantity": 3, **fields})


async def _create(db: Database, name: str = "Mug", **fields: Any) -> int:
    return (await _do(db, calls.create_item, _new(name, **fields))).id


async def test_an_item_is_created_and_found(db: Database) -> None:
    mug = await _create(db, " Mug ", size="L")
    cup = await _create(db, "Cup", price=0, stock_quantity=0)
    shown = Item(id=mug, name="Mug", size="L", price=700, available_quantity=3, version=1)
    assert await _ask(db, calls.get_item, GetItem(id=mug)) == shown
    page = await _ask(db, calls.get_items, GetItems(ids=[cup, mug, 10**15, mug]))
    assert [item.id for item in page.items] == [mug, cup]
    assert page.items[1].size == "-"
    assert (await _ask(db, calls.get_items, GetItems(ids=[]))).items == []
    with pytest.raises(NotFound):
        await _ask(db, calls.get_item, GetItem(id=10**15))


async def test_a_name_and_size_are_given_once_but_capitals_count(db: Database) -> None:
    await _create(db, "Mug")
    with pytest.raises(Conflict):
        await _create(db, "Mug ")
    await _create(db, "MUG")
    await _create(db, "Mug", size="L")


async def test_creating_again_by_the_same_request_is_the_same_item(db: Database) -> None:
    call = _new()
    created = await asyncio.gather(*(_do(db, calls.create_item, call) for _ in range(6)))
    assert len({one.id for one in created}) == 1
    assert await db.read(lambda r: r.row("SELECT COUNT(*) FROM stock_history")) == (1,)


async def test_pages_follow_each_other(db: Database) -> None:
    ids = [await _create(db, f"item {number}") for number in range(5)]
    seen: list[int] = []
    after: int | None = None
    while True:
        page = await _ask(db, calls.list_items, ListItems(limit=2, after=after))
        seen += [item.id for item in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == ids


async def test_a_change_needs_the_version_that_is_there(db: Database) -> None:
    item = await _create(db)
    await _create(db, "Cup")
    change = ChangeItem(request_id=new_id(), id=item, expected_version=1, price=800)
    changed = await _do(db, calls.change_item, change)
    assert (changed.price, changed.version, changed.name) == (800, 2, "Mug")
    assert await _do(db, calls.change_item, change) == changed
    with pytest.raises(Stale):
        await _do(
            db, calls.change_item, ChangeItem(request_id=new_id(), id=item, expected_version=1, price=1)
        )
    with pytest.raises(Conflict):
        await _do(
            db, calls.change_item, ChangeItem(request_id=new_id(), id=item, expected_version=2, name="Cup")
        )
    with pytest.raises(NotFound):
        await _do(db, calls.change_item, ChangeItem(request_id=new_id(), id=10**15, expected_version=1))


async def test_the_catalogue_tells_what_it_does_by_version_and_once(db: Database, heard: Heard) -> None:
    create = _new(" Mug ")
    item = (await _do(db, calls.create_item, create)).id
    change = ChangeItem(request_id=new_id(), id=item, expected_version=1, price=800)
    adjust = AdjustStock(request_id=new_id(), id=item, delta=1, reason="found")
    delete = DeleteItem(request_id=new_id(), id=item, expected_version=3)
    for handler, call in (
        (calls.create_item, create),
        (calls.change_item, change),
        (calls.adjust_stock, adjust),
        (calls.delete_item, delete),
    ):
        for _ in range(2):
            await _do(db, handler, call)
    with pytest.raises(NotFound):
        await _do(db, calls.change_item, ChangeItem(request_id=new_id(), id=item, expected_version=4))
    assert [event for event in heard.events if not isinstance(event, ItemAudited)] == [
        ItemCreated(item_id=item, name="Mug", size="-", price=700, version=1),
        ItemChanged(item_id=item, name="Mug", size="-", price=800, version=2),
        ItemChanged(item_id=item, name="Mug", size="-", price=800, version=3),
        ItemDeleted(item_id=item, version=4),
    ]
    first, renamed = {"name": "Mug", "size": "-", "price": 700, "stock": 3}, {"price": 800}
    more = {"stock": 4}
    told = [(one.action, one.target, one.before, one.after, one.reason) for one in heard.of(ItemAudited)]
    assert told == [
        ("create item", f"item {item}", None, first, None),
        ("change item", f"item {item}", first, first | renamed, None),
        ("adjust stock", f"item {item}", first | renamed, first | renamed | more, "found"),
        ("delete item", f"item {item}", first | renamed | more, None, None),
    ]


async def test_one_of_two_changes_of_one_version_wins(db: Database) -> None:
    item = await _create(db)
    changes = [
        ChangeItem(request_id=new_id(), id=item, expected_version=1, price=price) for price in range(1, 6)
    ]
    outcomes = await asyncio.gather(
        *(_do(db, calls.change_item, change) for change in changes), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Item"] + ["Stale"] * 4


async def test_a_deleted_item_is_gone_and_its_name_is_free(db: Database) -> None:
    item = await _create(db)
    delete = DeleteItem(request_id=new_id(), id=item, expected_version=1)
    await _do(db, calls.delete_item, delete)
    await _do(db, calls.delete_item, delete)
    with pytest.raises(NotFound):
        await _do(db, calls.delete_item, DeleteItem(request_id=new_id(), id=item, expected_version=2))
    with pytest.raises(NotFound):
        await _ask(db, calls.get_item, GetItem(id=item))
    with pytest.raises(NotFound):
        await _do(db, calls.adjust_stock, AdjustStock(request_id=new_id(), id=item, delta=1, reason="x"))
    assert (await _ask(db, calls.list_items, ListItems())).items == []
    assert await _create(db) != item


async def test_stock_is_adjusted_once_a_request_and_the_history_says_why(db: Database) -> None:
    item = await _create(db)
    more = AdjustStock(request_id=new_id(), id=item, delta=5, reason="delivery")
    for _ in range(2):
        assert (await _do(db, calls.adjust_stock, more)).available_quantity == 8
    less = AdjustStock(request_id=new_id(), id=item, delta=-8, reason="broken")
    adjusted = await _do(db, calls.adjust_stock, less)
    assert (adjusted.available_quantity, adjusted.version) == (0, 3)
    with pytest.raises(RuleBroken):
        await _do(db, calls.adjust_stock, AdjustStock(request_id=new_id(), id=item, delta=-1, reason="x"))
    page = await _ask(db, history.stock_history, StockHistory(id=item, limit=2))
    rest = await _ask(db, history.stock_history, StockHistory(id=item, limit=2, after=page.next))
    assert [(row.delta, row.balance, row.cause, row.reason) for row in page.items + rest.items] == [
        (-8, 0, "adjustment", "broken"),
        (5, 8, "adjustment", "delivery"),
        (3, 3, "initial", None),
    ]
    assert rest.next is None
    with pytest.raises(NotFound):
        await _ask(db, history.stock_history, StockHistory(id=10**15))


async def test_seeding_twice_changes_nothing(db: Database) -> None:
    for _ in range(2):
        await db.transaction(seed)
    page = await _ask(db, calls.list_items, ListItems())
    assert [(item.id, item.size, item.price, item.available_quantity) for item in page.items] == [
        (1, "90-S", 49_800, 1_000),
        (2, "100-M", 49_800, 1_000),
        (3, "110-L", 49_800, 1_000),
        (4, "-", 245_000, 200),
    ]
    assert await db.read(lambda r: r.row("SELECT COUNT(*) FROM stock_history")) == (4,)
