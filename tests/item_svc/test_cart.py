"""Carts on a real database: what is put in, what orders take along, and what comes back."""

import asyncio
import random
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from item_svc import calls, events
from item_svc.contracts import (
    CartLine,
    ClearCart,
    CreateItem,
    DeleteItem,
    GetCart,
    RemoveCartLine,
    SetCartLine,
    StockReserved,
)
from item_svc.domain import MAX_CART_LINES, Line
from item_svc.events import OrderFailed, OrderPlaced, ReleaseStock
from shared.clock import utc_now
from shared.database import transaction
from shared.database.units import Database
from shared.errors import NotFound, RuleBroken
from shared.ids import new_id
from tests.support.databases import Heard

ANN, BEN = 2, 3


async def _item(db: Database, stock: int = 10, **changes: Any) -> int:
    call = CreateItem(request_id=new_id(), name="Mug", size=str(new_id()), price=100, stock_quantity=stock)
    return (await db.transaction(lambda tx: calls.create_item(call, tx))).id


async def _put(db: Database, item: int, quantity: int, user: int = ANN) -> None:
    call = SetCartLine(user_id=user, item_id=item, quantity=quantity)
    await db.transaction(lambda tx: calls.set_cart_line(call, tx))


async def _lines(db: Database, user: int = ANN) -> list[CartLine]:
    return (await db.read(lambda r: calls.get_cart(GetCart(user_id=user), r))).items


async def _cart(db: Database, user: int = ANN) -> dict[int, int]:
    return {line.item_id: line.quantity for line in await _lines(db, user)}


def _order(*wants: tuple[int, int], buyer: int = ANN) -> OrderPlaced:
    return OrderPlaced(
        order_id=new_id(),
        buyer_id=buyer,
        lines=[Line(item_id=item, quantity=quantity, unit_price=100) for item, quantity in wants],
        participants=["item"],
    )


async def _place(db: Database, *orders: OrderPlaced) -> None:
    await db.transaction(lambda tx: events.reserve_stock(list(orders), tx))


async def _fail(db: Database, *order_ids: UUID, was_completed: bool = False) -> None:
    failures = [OrderFailed(order_id=one, was_completed=was_completed) for one in order_ids]
    await db.transaction(lambda tx: events.return_to_carts(failures, tx))


async def test_a_cart_shows_todays_price_and_availability(db: Database) -> None:
    mug, cup, gone = await _item(db, 3), await _item(db, 3), await _item(db, 3)
    for item, quantity in ((cup, 4), (mug, 9), (gone, 1), (mug, 3)):
        await _put(db, item, quantity)
    delete = DeleteItem(request_id=new_id(), id=gone, expected_version=1)
    await db.transaction(lambda tx: calls.delete_item(delete, tx))
    await _place(db, _order((cup, 1), buyer=BEN))

    shown = [
        (line.item_id, line.quantity, line.price, line.available_quantity, line.available)
        for line in await _lines(db)
    ]
    assert shown == [(cup, 4, 100, 2, False), (mug, 3, 100, 3, True), (gone, 1, 100, 0, False)]
    assert await _lines(db, BEN) == []


async def test_lines_are_removed_one_by_one_and_all_at_once(db: Database) -> None:
    items = [await _item(db) for _ in range(3)]
    for item in items:
        await _put(db, item, 1)
        await _put(db, item, 1, BEN)
    for _ in range(2):
        await db.transaction(
            lambda tx: calls.remove_cart_line(RemoveCartLine(user_id=ANN, item_id=items[0]), tx)
        )
    assert list(await _cart(db)) == items[1:]
    await db.transaction(lambda tx: calls.clear_cart(ClearCart(user_id=ANN), tx))
    assert await _cart(db) == {}
    assert list(await _cart(db, BEN)) == items


async def test_what_is_not_on_sale_cannot_be_put_in_and_a_cart_has_an_end(db: Database) -> None:
    with pytest.raises(NotFound):
        await _put(db, 10**15, 1)
    await db.transaction(
        lambda tx: tx.write_many(
            "INSERT INTO cart_lines (user_id, item_id, quantity, changed_at) VALUES (%s, %s, 1, %s)",
            [(ANN, 10**6 + number, tx.now) for number in range(MAX_CART_LINES - 1)],
        )
    )
    last, other = await _item(db), await _item(db)
    await _put(db, last, 1)
    await _put(db, last, 2)
    with pytest.raises(RuleBroken):
        await _put(db, other, 1)


async def test_an_order_takes_its_lines_along_and_leaves_the_others(db: Database) -> None:
    ordered, other = await _item(db), await _item(db)
    for item in (ordered, other):
        await _put(db, item, 3)
        await _put(db, item, 3, BEN)
    order = _order((ordered, 2), (ordered, 1))
    await _place(db, order)
    await _place(db, order)
    assert await _cart(db) == {other: 3}
    assert await _cart(db, BEN) == {ordered: 3, other: 3}


async def test_an_order_that_gets_no_stock_takes_nothing_along(db: Database) -> None:
    item = await _item(db, 1)
    await _put(db, item, 2)
    order = _order((item, 2))
    await _place(db, order)
    assert await _cart(db) == {item: 2}
    await _fail(db, order.order_id)
    assert await _cart(db) == {item: 2}


@pytest.mark.parametrize(("since", "after"), [(None, 3), (1, 3), (3, 3), (5, 5)])
async def test_a_failed_orders_lines_come_back_without_doubling(
    db: Database, since: int | None, after: int
) -> None:
    item = await _item(db)
    await _put(db, item, 3)
    order = _order((item, 3))
    await _place(db, order)
    if since is not None:
        await _put(db, item, since)
    for _ in range(2):
        await _fail(db, order.order_id)
    assert await _cart(db) == {item: after}


async def test_what_comes_back_comes_back_once(db: Database) -> None:
    item = await _item(db)
    await _put(db, item, 3)
    order = _order((item, 3))
    await _place(db, order)
    await _fail(db, order.order_id)
    await db.transaction(lambda tx: calls.clear_cart(ClearCart(user_id=ANN), tx))
    await _fail(db, order.order_id)
    await _place(db, order)
    assert await _cart(db) == {}


async def test_what_was_bought_and_then_called_off_does_not_come_back(db: Database) -> None:
    item = await _item(db)
    await _put(db, item, 3)
    order = _order((item, 3))
    await _place(db, order)
    await _fail(db, order.order_id, was_completed=True)
    assert await _cart(db) == {}


async def test_a_failure_heard_before_its_order_leaves_the_cart_alone(db: Database, heard: Heard) -> None:
    item = await _item(db)
    await _put(db, item, 3)
    order = _order((item, 3))
    await _fail(db, order.order_id)
    await _place(db, order)
    assert len(heard.of(StockReserved)) == 1
    assert await _cart(db) == {item: 3}


async def test_a_release_heard_before_its_order_leaves_the_cart_alone(db: Database) -> None:
    item = await _item(db)
    await _put(db, item, 3)
    order = _order((item, 3))
    await db.transaction(lambda tx: events.release_stock([ReleaseStock(order_id=order.order_id)], tx))
    await _place(db, order)
    await _fail(db, order.order_id)
    assert await _cart(db) == {item: 3}


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(seconds=5), timedelta(hours=1)])
async def test_a_line_leaves_whatever_the_clocks_of_the_services_say(
    db: Database, ahead: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await _item(db)
    monkeypatch.setattr(transaction, "utc_now", lambda: utc_now() + ahead)
    await _put(db, item, 3)
    monkeypatch.undo()
    order = _order((item, 3))
    await _place(db, order)
    assert await _cart(db) == {}
    await _fail(db, order.order_id)
    assert await _cart(db) == {item: 3}


async def test_two_orders_of_one_list_take_a_line_once(db: Database) -> None:
    item = await _item(db)
    await _put(db, item, 3)
    first, second = _order((item, 3)), _order((item, 3))
    await _place(db, first, second)
    await _fail(db, second.order_id)
    assert await _cart(db) == {}
    await _fail(db, first.order_id)
    assert await _cart(db) == {item: 3}


async def test_an_order_that_is_served_while_its_failure_looks_loses_nothing(db: Database) -> None:
    item = await _item(db)
    await _put(db, item, 2)
    order = _order((item, 2))

    class Slow:
        """A unit in which another one commits between its first question and the next."""

        def __init__(self, tx: transaction.Transaction) -> None:
            self._tx, self._asked = tx, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._tx, name)

        async def ask(self, *queries: Any) -> list[Any]:
            answers: list[Any] = []
            for query in queries:
                answers += await self._tx.ask(query)
                self._asked += 1
                if self._asked == 1:
                    await _place(db, order)
            return answers

    failed = [OrderFailed(order_id=order.order_id, was_completed=False)]
    await db.transaction(lambda tx: events.return_to_carts(failed, cast(Any, Slow(tx))))
    assert await _cart(db) == {item: 2}


async def test_orders_and_failures_in_any_order_and_number_lose_and_double_nothing(db: Database) -> None:
    dice = random.Random(5)  # noqa: S311  a repeatable shuffle
    items = [await _item(db, 1_000) for _ in range(3)]
    buyers = list(range(10, 40))
    for buyer in buyers:
        for item in items:
            await _put(db, item, 4, buyer)
    orders = {buyer: _order(*((item, 1) for item in items[:2]), buyer=buyer) for buyer in buyers}
    failing = [orders[buyer].order_id for buyer in buyers[::2]]
    lists: list[Any] = []
    for _ in range(2):
        placed = list(orders.values())
        dice.shuffle(placed)
        dice.shuffle(failing)
        lists += [placed[start : start + 7] for start in range(0, len(placed), 7)]
        lists += [failing[start : start + 4] for start in range(0, len(failing), 4)]
    dice.shuffle(lists)
    gate = asyncio.Semaphore(6)

    async def deliver(part: Any) -> None:
        async with gate:
            await (_place(db, *part) if isinstance(part[0], OrderPlaced) else _fail(db, *part))

    await asyncio.gather(*map(deliver, lists))
    for buyer in buyers:
        kept = {item: 4 for item in items}
        left = kept if orders[buyer].order_id in failing else {items[2]: 4}
        assert await _cart(db, buyer) == left
