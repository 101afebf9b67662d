"""What participants answer, and what becomes of the orders, on a real database."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from gateway.shop.events import OrderCompleted as OrderCompletedView
from gateway.shop.placing import completed
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
from shared.database.units import Database
from shared.errors import NotFound
from shared.ids import new_id
from shared.messages import View
from tests.order_svc.acts import (
    BUYER,
    SETTINGS,
    a_couponed_order,
    an_order,
    cancel,
    deadline_of,
    hear,
    item_says_no,
    look,
    place,
    reserved,
    say,
    states,
)
from tests.support.databases import Heard
from tests.support.held import blames_the_row


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
    assert states(failed) == {"item": "NO", "coupon": "AWAITING", "payment": "RELEASING"}
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
        OrderSettled(order_id=silent.id, buyer_id=BUYER, reason="price_changed", reason_details={})
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
    assert states(ends[refused]) == {"item": "NO", "coupon": "RELEASING"}
    assert [told.order_id for told in heard.of(ReleaseCoupon)] == [refused, late]
    assert [told.order_id for told in heard.of(OrderCancelled)] == [late]


async def test_an_answer_about_an_order_that_is_not_known_yet_is_not_dropped(db: Database) -> None:
    order, later = await place(db, an_order()), new_id()
    for unknown in (reserved(later), item_says_no(later), events.StockReleased(order_id=later)):
        with pytest.raises(NotFound, match=str(later)):  # so it is retried, alone
            await say(db, unknown)
    await say(db, reserved(order.id))
    assert (await look(db, order.id)).status == "COMPLETED"


async def _a_paid_order(db: Database, **also: Any) -> tuple[UUID, UUID]:
    """An order of item and payment that is completed, and its payment."""
    order, payment_id = await place(db, an_order(pay_with="card", **also)), new_id()
    await say(db, reserved(order.id), events.PaymentCaptured(order_id=order.id, payment_id=payment_id))
    return order.id, payment_id


def _in_part(order_id: UUID, payment_id: UUID, amount: int, refunded: int) -> events.PaymentPartlyRefunded:
    return events.PaymentPartlyRefunded(
        order_id=order_id, payment_id=payment_id, amount=amount, refunded=refunded
    )


async def test_refunds_in_part_are_kept_once_each_and_change_nothing_else(db: Database, heard: Heard) -> None:
    order_id, payment_id = await _a_paid_order(db)
    before, told = await look(db, order_id), len(heard.events)
    first, second = _in_part(order_id, payment_id, 50, 50), _in_part(order_id, payment_id, 50, 100)
    await hear(db, second, second, first)
    await hear(db, first)
    await hear(db, second)
    after = await look(db, order_id)
    parts = after.history[len(before.history) :]
    assert [(one.what, one.participant, one.status) for one in parts] == [
        ("PAYMENT_PARTLY_REFUNDED", "payment", "COMPLETED")
    ] * 2
    assert [one.details for one in parts] == [
        {"payment_id": str(payment_id), "amount": 50, "refunded": refunded} for refunded in (100, 50)
    ]
    assert after.version == before.version + 1
    assert replace(after, version=before.version, history=before.history) == before
    assert len(heard.events) == told
    assert await deadline_of(db, order_id) is None


async def test_a_refund_in_part_may_be_heard_of_before_its_payment_and_after_the_end(db: Database) -> None:
    order, payment_id = await place(db, an_order(pay_with="card")), new_id()
    await hear(db, _in_part(order.id, payment_id, 50, 50))
    await say(db, events.PaymentCaptured(order_id=order.id, payment_id=payment_id), reserved(order.id))
    assert (await look(db, order.id)).status == "COMPLETED"
    await cancel(db, order.id)
    await say(db, events.StockReleased(order_id=order.id))
    await say(db, events.PaymentRefunded(order_id=order.id, payment_id=payment_id))
    await hear(db, _in_part(order.id, payment_id, 50, 50), _in_part(order.id, payment_id, 5, 55))
    done = await look(db, order.id)
    assert (done.status, done.settled) == ("CANCEL", True)
    assert [one.what for one in done.history].count("PAYMENT_PARTLY_REFUNDED") == 2


async def test_a_refund_in_part_told_at_once_to_several_is_kept_once(db: Database) -> None:
    order_id, payment_id = await _a_paid_order(db)
    part = _in_part(order_id, payment_id, 50, 50)
    await asyncio.gather(*(hear(db, part) for _ in range(6)))
    assert [one.what for one in (await look(db, order_id)).history].count("PAYMENT_PARTLY_REFUNDED") == 1


async def test_an_order_whose_payment_is_kept_rests_once_the_others_have_given_back(
    db: Database, heard: Heard
) -> None:
    order_id, payment_id = await _a_paid_order(db)
    await cancel(db, order_id, "admin", None)
    kept = events.PaymentKept(order_id=order_id, payment_id=payment_id, amount=200, note="paid in cash")
    other = events.PaymentKept(order_id=order_id, payment_id=new_id(), amount=200, note="not its own")
    await say(db, other)
    assert states(await look(db, order_id)) == {"item": "RELEASING", "payment": "RELEASING"}
    await hear(db, kept, kept)
    waiting = await look(db, order_id)
    details = {"was": "cancelled_by_admin", "amount": 200, "note": "paid in cash"}
    assert (waiting.status, waiting.settled, waiting.paid) == ("FAIL", False, True)
    assert (waiting.reason, waiting.reason_details) == ("payment_kept", details)
    assert heard.of(OrderSettled) == []
    await say(db, events.StockReleased(order_id=order_id), kept)
    done = await look(db, order_id)
    assert (done.status, done.settled, done.paid) == ("FAIL", True, True)
    assert states(done) == {"item": "RELEASED", "payment": "KEPT"}
    assert [one.what for one in done.history][-4:] == [
        "RELEASE_REQUESTED",
        "PAYMENT_KEPT",
        "STOCK_RESTORED",
        "ORDER_SETTLED",
    ]
    assert heard.of(OrderSettled) == [
        OrderSettled(order_id=order_id, buyer_id=BUYER, reason="payment_kept", reason_details=details)
    ]
    assert heard.of(OrderCancelled) == []
    assert (await cancel(db, order_id)).version == done.version


async def test_a_payment_kept_before_its_release_is_heard_of_answers_the_release(
    db: Database, heard: Heard
) -> None:
    order, payment_id = await place(db, an_order(pay_with="card")), new_id()
    kept = events.PaymentKept(order_id=order.id, payment_id=payment_id, amount=200, note="-")
    await hear(db, kept)
    await hear(db, item_says_no(order.id), kept)
    assert (await look(db, order.id)).reason == "out_of_stock"
    await hear(db, events.PaymentCaptured(order_id=order.id, payment_id=payment_id))
    await hear(db, kept)
    done = await look(db, order.id)
    assert (done.status, done.settled, done.reason) == ("FAIL", True, "payment_kept")
    assert states(done) == {"item": "NO", "payment": "KEPT"}


async def test_a_list_that_waits_for_an_order_finds_it(db: Database) -> None:
    order = await place(db, an_order())
    answer = reserved(order.id)
    await blames_the_row(
        db,
        lambda tx: events.hear_answers([answer], tx, SETTINGS),
        events.rows_of_answer(answer),
        "orders",
        f"id = '{order.id}'",
    )
