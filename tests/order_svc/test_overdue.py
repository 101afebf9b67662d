"""Overdue orders, and the answers that they wait for."""

from typing import Any
from uuid import UUID

from order_svc import calls, events, overdue, saga, store
from order_svc.contracts import LineRequest, ListOverdue, OverduePage, PlaceOrder
from order_svc.settings import OrderSettings
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.ids import new_id

SETTINGS = OrderSettings(order_deadline_s=30, order_release_again_s=10, order_unpaid_s=100)


async def _place(db: Database) -> UUID:
    line = LineRequest(
        item_id=1, quantity=1, unit_price=100, discounted_price=80, user_coupon_ids=[int(new_id()) % 10**9]
    )
    call = PlaceOrder(order_id=new_id(), buyer_id=5, lines=[line])
    await db.transaction(lambda tx: calls.place_orders([call], tx, SETTINGS))
    return call.order_id


async def _look(db: Database, **wanted: Any) -> OverduePage:
    return await db.read(lambda reader: overdue.list_overdue(ListOverdue(**wanted), reader, SETTINGS))


async def _yes(db: Database, said: Any) -> None:
    await db.transaction(lambda tx: events.hear_answers([said], tx, SETTINGS))


async def _late(db: Database, order_id: UUID) -> None:
    await db.execute(
        "UPDATE orders SET deadline_at = UTC_TIMESTAMP(6) - INTERVAL 5 SECOND WHERE id = %s", [order_id]
    )


def _missing(page: OverduePage) -> list[list[tuple[str, str]]]:
    return [[(one.waits_for, one.of) for one in order.missing] for order in page.items]


async def test_nothing_is_overdue_before_its_deadline(db: Database) -> None:
    await _place(db)
    assert await _look(db) == OverduePage(items=[], next=None)


async def test_who_has_not_answered_is_named(db: Database) -> None:
    order_id = await _place(db)
    await _yes(db, events.StockReserved(order_id=order_id, names={}))
    await _late(db, order_id)
    page = await _look(db)
    assert _missing(page) == [[("answer", "coupon")]]
    [order] = page.items
    assert (order.id, order.buyer_id, order.status) == (order_id, 5, "PENDING")
    assert 5 <= order.overdue_seconds < 60


async def test_who_has_not_given_back_is_named(db: Database) -> None:
    order_id = await _place(db)

    async def fail(tx: Transaction) -> None:
        orders = await store.lock_orders(tx, [order_id])
        saga.deadline(orders[order_id].saga)
        await store.save_orders(tx, orders.values(), SETTINGS)

    await db.transaction(fail)
    assert _missing(await _look(db)) == []
    await db.execute(
        "UPDATE participants SET changed_at = changed_at - INTERVAL 11 SECOND WHERE name = 'item'"
    )
    [order] = (await _look(db)).items
    assert (order.status, order.reason) == ("FAIL", "timeout")
    assert ("release", "item") in [(one.waits_for, one.of) for one in order.missing]
    assert 1 <= order.overdue_seconds < 60


async def test_a_completed_order_past_its_time_waits_for_its_buyer(db: Database) -> None:
    order_id = await _place(db)
    await _yes(db, events.StockReserved(order_id=order_id, names={}))
    await _yes(db, events.CouponApplied(order_id=order_id))
    await _late(db, order_id)
    assert _missing(await _look(db)) == [[("payment", "buyer")]]


async def test_the_list_goes_on_where_a_page_ended(db: Database) -> None:
    placed = [await _place(db) for _ in range(5)]
    for order_id in placed:
        await _late(db, order_id)
    first = await _look(db, limit=3)
    rest = await _look(db, limit=3, after=first.next)
    assert [order.id for order in (*first.items, *rest.items)] == sorted(placed)
    assert rest.next is None
