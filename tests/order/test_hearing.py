"""What participants answer, and what becomes of the orders, on a real database."""

import asyncio

import msgspec
import pytest

from gateway.events import OrderCompleted as OrderCompletedView
from gateway.orders import completed
from order_svc import events
from order_svc.contracts import (
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    OrderSettled,
    ReleaseCoupon,
    ReleaseItem,
    ReleasePayment,
)
from shared.database import Database
from shared.ids import new_id
from shared.messages import View
from tests.order.acts import (
    BUYER,
    a_couponed_order,
    an_order,
    count_of,
    hear,
    item_says_no,
    look,
    place,
    reserved,
    say,
    stands,
)
from tests.support.databases import Heard


async def test_the_last_yes_completes_the_order(db: Database, heard: Heard) -> None:
    order = await place(db, a_couponed_order(pay_with="points"))
    payment_id = new_id()
    await say(db, events.CouponApplied(order_id=order.id))
    await say(db, events.PaymentCaptured(order_id=order.id, payment_id=payment_id))
    assert (await look(db, order.id)).status == "PENDING"
    await say(db, reserved(order.id))
    done = await look(db, order.id)
    assert (done.status, done.settled, done.paid, done.version) == ("COMPLETED", True, True, 4)
    assert [entry.what for entry in done.history] == [
        "ORDER_CREATED",
        "COUPON_APPLIED",
        "PAYMENT_COMPLETED",
        "STOCK_DEDUCTED",
        "ORDER_COMPLETED",
        "ORDER_CONFIRMED",
    ]
    [completed] = heard.of(OrderCompleted)
    assert (completed.order_id, completed.buyer_id, completed.total) == (order.id, BUYER, 80)
    [confirmed] = heard.of(OrderConfirmed)
    assert confirmed.payment_id == payment_id


@pytest.mark.parametrize("together", [True, False])
async def test_the_news_of_completion_tells_all_that_a_look_at_the_order_would(
    db: Database, heard: Heard, together: bool
) -> None:
    order = await place(db, a_couponed_order(pay_with="points"))
    answers: list[View] = [
        reserved(order.id),
        events.PaymentCaptured(order_id=order.id, payment_id=new_id()),
        events.CouponApplied(order_id=order.id),
    ]
    for group in [answers] if together else [[answer] for answer in answers]:
        await say(db, *group)
    [news] = heard.of(OrderCompleted)
    as_the_gateway_hears_it = msgspec.json.decode(msgspec.json.encode(news), type=OrderCompletedView)
    assert completed(order, as_the_gateway_hears_it) == await look(db, order.id)


async def test_answers_that_come_twice_count_once(db: Database, heard: Heard) -> None:
    order = await place(db, a_couponed_order())
    yes = [reserved(order.id), events.CouponApplied(order_id=order.id)]
    for _ in range(2):
        await say(db, *yes, *yes)
    assert len(heard.of(OrderCompleted)) == 1
    before = await look(db, order.id)
    await say(db, *yes, item_says_no(order.id), events.StockReleased(order_id=order.id))
    assert await look(db, order.id) == before


async def test_all_answers_at_once_complete_every_order_once(db: Database, heard: Heard) -> None:
    orders = [await place(db, a_couponed_order(pay_with="points")) for _ in range(12)]
    ids = [order.id for order in orders]
    answers: list[list[View]] = [
        [reserved(one) for one in ids],
        [events.CouponApplied(order_id=one) for one in reversed(ids)],
        [events.PaymentCaptured(order_id=one, payment_id=new_id()) for one in (*ids[6:], *ids[:6])],
    ]
    await asyncio.gather(*(say(db, *some) for some in answers), *(say(db, *some) for some in answers))
    assert sorted(told.order_id for told in heard.of(OrderCompleted)) == sorted(ids)
    assert len(heard.of(OrderConfirmed)) == len(ids)


async def test_a_no_fails_the_order_and_asks_back_what_was_taken(db: Database, heard: Heard) -> None:
    order = await place(db, a_couponed_order(pay_with="points"))
    payment_id = new_id()
    await say(db, events.PaymentCaptured(order_id=order.id, payment_id=payment_id))
    await say(db, item_says_no(order.id, item_id=1, asked=2, left=0))
    failed = await look(db, order.id)
    assert (failed.status, failed.settled, failed.reason) == ("FAIL", False, "out_of_stock")
    assert failed.reason_details == {"item_id": 1, "asked": 2, "left": 0}
    assert stands(failed) == {"item": "NO", "coupon": "AWAITING", "payment": "RELEASING"}
    assert heard.of(ReleasePayment) == [ReleasePayment(order_id=order.id)]
    assert heard.of(ReleaseItem) + heard.of(ReleaseCoupon) == []
    assert [(told.reason, told.settled) for told in heard.of(OrderFailed)] == [("out_of_stock", False)]
    await say(db, events.CouponApplied(order_id=order.id))
    assert heard.of(ReleaseCoupon) == [ReleaseCoupon(order_id=order.id)]
    await say(db, events.CouponReleased(order_id=order.id))
    await say(db, events.PaymentRefunded(order_id=order.id, payment_id=new_id()))
    assert (await look(db, order.id)).status == "FAIL"
    await say(db, events.PaymentRefunded(order_id=order.id, payment_id=payment_id))
    done = await look(db, order.id)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "out_of_stock")
    assert [told.reason for told in heard.of(OrderCancelled)] == ["out_of_stock"]


async def test_a_failure_with_nothing_to_give_back_rests_at_once(db: Database, heard: Heard) -> None:
    order = await place(db, an_order())
    await say(db, item_says_no(order.id, "price_changed"))
    assert [told.settled for told in heard.of(OrderFailed)] == [True]
    assert heard.of(OrderSettled) == []
    silent = await place(db, a_couponed_order())
    await say(db, item_says_no(silent.id, "price_changed"))
    await say(db, events.CouponRejected(order_id=silent.id, reason="coupon_invalid", details={}))
    assert [told.settled for told in heard.of(OrderFailed)] == [True, False]
    assert heard.of(OrderSettled) == [
        OrderSettled(order_id=silent.id, buyer_id=BUYER, reason="price_changed")
    ]
    assert (await look(db, silent.id)).settled


async def test_orders_of_one_list_go_their_own_ways(db: Database, heard: Heard) -> None:
    orders = [await place(db, a_couponed_order()) for _ in range(6)]
    await say(db, *(events.CouponApplied(order_id=order.id) for order in orders[:4]))
    await say(
        db,
        *(reserved(order.id) for order in orders[:3]),
        *(item_says_no(order.id) for order in orders[3:]),
    )
    found = [(await look(db, order.id)) for order in orders]
    assert [order.status for order in found] == ["COMPLETED"] * 3 + ["FAIL"] * 3
    assert heard.of(ReleaseCoupon) == [ReleaseCoupon(order_id=orders[3].id)]


async def test_all_that_is_heard_of_an_order_may_come_in_one_list(db: Database, heard: Heard) -> None:
    """Whatever kinds of answers share a list, each order goes where they take it one after the other."""
    done, refused, late = [(await place(db, a_couponed_order())).id for _ in range(3)]
    await hear(
        db,
        reserved(done),
        events.CouponApplied(order_id=refused),
        item_says_no(refused),
        events.CouponApplied(order_id=done),
        item_says_no(late),
        events.CouponApplied(order_id=late),
        events.CouponReleased(order_id=late),
    )
    ends = {order_id: await look(db, order_id) for order_id in (done, refused, late)}
    assert [end.status for end in ends.values()] == ["COMPLETED", "FAIL", "CANCEL"]
    assert [entry.what for entry in ends[done].history] == [
        "ORDER_CREATED",
        "STOCK_DEDUCTED",
        "COUPON_APPLIED",
        "ORDER_COMPLETED",
    ]
    assert stands(ends[refused]) == {"item": "NO", "coupon": "RELEASING"}
    assert [told.order_id for told in heard.of(ReleaseCoupon)] == [refused, late]
    assert [told.order_id for told in heard.of(OrderCancelled)] == [late]


async def test_answers_about_an_unknown_order_are_passed_over(db: Database, heard: Heard) -> None:
    order = await place(db, an_order())
    await say(db, reserved(new_id()), reserved(order.id))
    await say(db, item_says_no(new_id()), events.StockReleased(order_id=new_id()))
    assert (await look(db, order.id)).status == "COMPLETED"
    assert await count_of(db, "orders") == 1
