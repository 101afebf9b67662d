"""Placing, hearing, sweeping, cancelling and listing orders, on a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest

from gateway.events import OrderCompleted as OrderCompletedView
from gateway.orders import completed
from order_svc import calls, events, store, sweeps, views
from order_svc.contracts import (
    CancelOrder,
    ConfirmationRejected,
    GetOrder,
    GetPaymentDue,
    LineRequest,
    ListOrders,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    OrderPlaced,
    OrderSettled,
    OrderView,
    PlaceOrder,
    ReleaseCoupon,
    ReleaseItem,
    ReleasePayment,
)
from order_svc.settings import OrderSettings
from shared.clock import utc_now
from shared.database import Database
from shared.errors import Conflict, NotFound, Problem, RuleBroken
from shared.ids import new_id
from shared.messages import View
from shared.outbox import Outbox
from shared.transaction import Transaction
from tests.support.databases import Heard

T = TypeVar("T")

BUYER = 5
SETTINGS = OrderSettings(order_deadline_s=30, order_release_again_s=10)


def _line(**changes: Any) -> LineRequest:
    fields: dict[str, Any] = {"item_id": 1, "quantity": 2, "unit_price": 100}
    return LineRequest(**(fields | changes))


def _call(*lines: LineRequest, **changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {"order_id": new_id(), "buyer_id": BUYER, "lines": list(lines) or [_line()]}
    return PlaceOrder(**(fields | changes))


def _couponed(**changes: Any) -> PlaceOrder:
    """An order that concerns item and coupon, and payment too with `pay_with`."""
    return _call(_line(quantity=1, discounted_price=80, user_coupon_ids=[7]), **changes)


async def _later(db: Database, seconds: float, unit: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run a unit of work as if it were so many seconds later."""

    async def then(tx: Transaction) -> T:
        tx.now += timedelta(seconds=seconds)
        return await unit(tx)

    return await db.transaction(then)


async def _place_all(db: Database, *wanted: PlaceOrder) -> list[OrderView | Problem]:
    return await db.transaction(lambda tx: calls.place_orders(list(wanted), tx, SETTINGS))


async def _place(db: Database, call: PlaceOrder) -> OrderView:
    [answer] = await _place_all(db, call)
    assert isinstance(answer, OrderView), answer
    return answer


async def _look(db: Database, order_id: UUID) -> OrderView:
    [answer] = await db.read(lambda reader: calls.get_orders([GetOrder(order_id=order_id)], reader))
    assert isinstance(answer, OrderView), answer
    return answer


async def _say(db: Database, *answers: Any) -> None:
    """Let the order service hear these: first what is a yes, then the noes, then what was given back."""
    for kinds in (events.Yes, events.No, events.Released):
        if heard := [answer for answer in answers if isinstance(answer, kinds)]:
            await _hear(db, *heard)


async def _hear(db: Database, *answers: Any) -> None:
    """Let the order service hear these in one list."""
    await db.transaction(lambda tx: events.hear_answers(list(answers), tx, SETTINGS))


def _reserved(order_id: UUID) -> events.StockReserved:
    return events.StockReserved(order_id=order_id, names={1: "Mug"})


def _no(order_id: UUID, reason: str = "out_of_stock", **details: Any) -> View:
    return events.StockRejected(order_id=order_id, reason=reason, details=details)


async def _cancel(db: Database, order_id: UUID, by: Any = "buyer", buyer_id: int | None = BUYER) -> OrderView:
    call = CancelOrder(order_id=order_id, by=by, buyer_id=buyer_id)
    return await db.transaction(lambda tx: calls.cancel_order(call, tx, SETTINGS))


def _stands(order: OrderView) -> dict[str, str]:
    return {one.name: one.state for one in order.participants}


async def _count(db: Database, table: str) -> int:
    row = await db.read(lambda reader: reader.row(f"SELECT COUNT(*) FROM {table}"))
    assert row is not None
    return row[0]


# Placing -------------------------------------------------------------------------------------------------


async def test_a_placed_order_is_pending_and_told(db: Database, heard: Heard) -> None:
    call = _couponed(pay_with="points")
    order = await _place(db, call)
    assert (order.id, order.status, order.settled, order.paid, order.total) == (
        call.order_id,
        "PENDING",
        False,
        False,
        80,
    )
    assert _stands(order) == dict.fromkeys(("item", "coupon", "payment"), "AWAITING")
    assert [entry.what for entry in order.history] == ["ORDER_CREATED"]
    [told] = heard.of(OrderPlaced)
    assert (told.order_id, told.total, told.participants) == (order.id, 80, ["item", "coupon", "payment"])
    assert views.line_views(told.lines, {}) == order.lines
    assert await _look(db, order.id) == order


async def test_only_those_concerned_take_part(db: Database) -> None:
    assert list(_stands(await _place(db, _call()))) == ["item"]
    assert list(_stands(await _place(db, _couponed()))) == ["item", "coupon"]
    assert list(_stands(await _place(db, _call(pay_with="points")))) == ["item", "payment"]


async def test_a_line_without_a_discount_costs_its_unit_price(db: Database) -> None:
    order = await _place(db, _call(_line(quantity=3), _line(quantity=1, discounted_price=100)))
    assert [line.discounted_price for line in order.lines] == [100, 100]
    assert order.total == 400


async def test_a_whole_list_is_placed_in_one_go_and_the_bad_ones_only_harm_themselves(
    db: Database, heard: Heard
) -> None:
    good = [_call() for _ in range(20)]
    bad = _call(_line(discounted_price=1))
    answers = await _place_all(db, *good[:10], bad, *good[10:])
    assert isinstance(answers[10], RuleBroken)
    placed = [answer.id for answer in answers if isinstance(answer, OrderView)]
    assert placed == [call.order_id for call in good]
    assert [told.order_id for told in heard.of(OrderPlaced)] == placed


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ([_line(user_coupon_ids=[1], quantity=2, discounted_price=90)], ["lines[0].quantity"]),
        ([_line(user_coupon_ids=[1], quantity=1)], ["lines[0].discounted_price"]),
        (
            [_line(user_coupon_ids=[1, 2, 3], quantity=1, discounted_price=90)],
            ["lines[0].user_coupon_ids"],
        ),
        ([_line(), _line(discounted_price=99)], ["lines[1].discounted_price"]),
        ([_line(discounted_price=101)], ["lines[0].discounted_price"]),
        (
            [_line(quantity=1, discounted_price=90, user_coupon_ids=[4])] * 2,
            ["lines[1].user_coupon_ids"],
        ),
        ([_line(quantity=1, discounted_price=90, user_coupon_ids=[4, 4])], ["lines[0].user_coupon_ids"]),
        (
            [_line(user_coupon_ids=[1], quantity=2), _line(discounted_price=0)],
            ["lines[0].quantity", "lines[0].discounted_price", "lines[1].discounted_price"],
        ),
    ],
)
async def test_an_order_against_the_rules_is_refused_by_the_names_of_its_fields(
    db: Database, heard: Heard, lines: list[LineRequest], fields: list[str]
) -> None:
    [answer] = await _place_all(db, _call(*lines))
    assert isinstance(answer, RuleBroken)
    assert [error.field for error in answer.errors] == fields
    assert heard.events == []
    assert await _count(db, "orders") == 0


async def test_a_total_beyond_all_measure_is_refused(db: Database) -> None:
    lines = [_line(quantity=1_000_000, unit_price=10**12)] * 2
    [answer] = await _place_all(db, _call(*lines))
    assert isinstance(answer, RuleBroken)


async def test_two_thousand_lines_are_placed(db: Database) -> None:
    order = await _place(db, _call(*(_line(item_id=number) for number in range(1, 2001))))
    assert len((await _look(db, order.id)).lines) == 2000


# Placing again -------------------------------------------------------------------------------------------


async def test_placed_again_an_order_is_answered_as_it_is_now(db: Database, heard: Heard) -> None:
    call = _call()
    await _place(db, call)
    await _say(db, _reserved(call.order_id))
    again = await _place(db, call)
    assert (again.id, again.status) == (call.order_id, "COMPLETED")
    assert len(heard.of(OrderPlaced)) == 1


async def test_the_same_order_twice_in_one_list_is_one_order(db: Database, heard: Heard) -> None:
    call, other = _call(), _call(idempotency_key="key", body_hash="a")
    runs = 0

    async def unit(tx: Transaction) -> list[OrderView | Problem]:
        nonlocal runs
        runs += 1
        return await calls.place_orders([call, other, call, other], tx, SETTINGS)

    answers = await db.transaction(unit)
    assert [answer.id for answer in answers if isinstance(answer, OrderView)] == [
        call.order_id,
        other.order_id,
    ] * 2
    assert len(heard.of(OrderPlaced)) == 2
    # Not by running into its own duplicate and starting over.
    assert runs == 1


async def test_the_same_order_from_everywhere_at_once_is_one_order(db: Database, heard: Heard) -> None:
    call = _call(idempotency_key="key", body_hash="a")
    answers = await asyncio.gather(*(_place(db, call) for _ in range(8)))
    assert {answer.id for answer in answers} == {call.order_id}
    assert len(heard.of(OrderPlaced)) == 1
    assert await _count(db, "orders") == 1


def _keyed(key: str = "key", body_hash: str = "a", buyer_id: int = BUYER) -> PlaceOrder:
    return _call(idempotency_key=key, body_hash=body_hash, buyer_id=buyer_id)


async def test_the_same_key_and_body_is_the_first_order_again(db: Database, heard: Heard) -> None:
    first = await _place(db, _keyed())
    await _say(db, _no(first.id))
    again = await _place(db, _keyed())
    assert (again.id, again.status, again.reason) == (first.id, "FAIL", "out_of_stock")
    assert len(heard.of(OrderPlaced)) == 1


async def test_the_same_key_with_another_body_is_refused(db: Database) -> None:
    await _place(db, _keyed())
    in_one_list = await _place_all(
        db, _keyed(body_hash="b"), _keyed("new"), _keyed("new", "b"), _keyed("new")
    )
    assert [type(answer) for answer in in_one_list] == [RuleBroken, OrderView, RuleBroken, OrderView]
    assert await _count(db, "orders") == 2


async def test_two_of_one_key_in_one_list_are_one_order(db: Database, heard: Heard) -> None:
    one, two = _keyed(), _keyed()
    answers = await _place_all(db, one, two)
    assert [answer.id for answer in answers if isinstance(answer, OrderView)] == [one.order_id] * 2
    assert len(heard.of(OrderPlaced)) == 1


async def test_one_key_from_everywhere_at_once_is_one_order(db: Database, heard: Heard) -> None:
    answers = await asyncio.gather(*(_place(db, _keyed()) for _ in range(10)))
    assert len({answer.id for answer in answers}) == 1
    assert [told.order_id for told in heard.of(OrderPlaced)] == [answers[0].id]


async def test_keys_are_a_buyers_own_and_compare_exactly(db: Database, heard: Heard) -> None:
    keys = ("key", "KEY", "kéy", "k\N{LATIN SMALL LETTER E}y2", "ключ")
    orders = {(await _place(db, _keyed(key))).id for key in keys}
    orders |= {(await _place(db, _keyed("key", buyer_id=6))).id}
    assert len(orders) == len(keys) + 1


async def test_an_order_that_was_refused_does_not_use_up_its_key(db: Database) -> None:
    bad = _call(_line(discounted_price=1), idempotency_key="key", body_hash="bad")
    [refusal] = await _place_all(db, bad)
    assert isinstance(refusal, RuleBroken)
    assert (await _place(db, _keyed(body_hash="good"))).status == "PENDING"


# Hearing -------------------------------------------------------------------------------------------------


async def test_the_last_yes_completes_the_order(db: Database, heard: Heard) -> None:
    order = await _place(db, _couponed(pay_with="points"))
    payment_id = new_id()
    await _say(db, events.CouponApplied(order_id=order.id))
    await _say(db, events.PaymentCaptured(order_id=order.id, payment_id=payment_id))
    assert (await _look(db, order.id)).status == "PENDING"
    await _say(db, _reserved(order.id))
    done = await _look(db, order.id)
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
    order = await _place(db, _couponed(pay_with="points"))
    answers: list[View] = [
        _reserved(order.id),
        events.PaymentCaptured(order_id=order.id, payment_id=new_id()),
        events.CouponApplied(order_id=order.id),
    ]
    for group in [answers] if together else [[answer] for answer in answers]:
        await _say(db, *group)
    [news] = heard.of(OrderCompleted)
    as_the_gateway_hears_it = msgspec.json.decode(msgspec.json.encode(news), type=OrderCompletedView)
    assert completed(order, as_the_gateway_hears_it) == await _look(db, order.id)


async def test_answers_that_come_twice_count_once(db: Database, heard: Heard) -> None:
    order = await _place(db, _couponed())
    yes = [_reserved(order.id), events.CouponApplied(order_id=order.id)]
    for _ in range(2):
        await _say(db, *yes, *yes)
    assert len(heard.of(OrderCompleted)) == 1
    before = await _look(db, order.id)
    await _say(db, *yes, _no(order.id), events.StockReleased(order_id=order.id))
    assert await _look(db, order.id) == before


async def test_all_answers_at_once_complete_every_order_once(db: Database, heard: Heard) -> None:
    orders = [await _place(db, _couponed(pay_with="points")) for _ in range(12)]
    ids = [order.id for order in orders]
    answers: list[list[View]] = [
        [_reserved(one) for one in ids],
        [events.CouponApplied(order_id=one) for one in reversed(ids)],
        [events.PaymentCaptured(order_id=one, payment_id=new_id()) for one in (*ids[6:], *ids[:6])],
    ]
    await asyncio.gather(*(_say(db, *some) for some in answers), *(_say(db, *some) for some in answers))
    assert sorted(told.order_id for told in heard.of(OrderCompleted)) == sorted(ids)
    assert len(heard.of(OrderConfirmed)) == len(ids)


async def test_a_no_fails_the_order_and_asks_back_what_was_taken(db: Database, heard: Heard) -> None:
    order = await _place(db, _couponed(pay_with="points"))
    payment_id = new_id()
    await _say(db, events.PaymentCaptured(order_id=order.id, payment_id=payment_id))
    await _say(db, _no(order.id, item_id=1, asked=2, left=0))
    failed = await _look(db, order.id)
    assert (failed.status, failed.settled, failed.reason) == ("FAIL", False, "out_of_stock")
    assert failed.reason_details == {"item_id": 1, "asked": 2, "left": 0}
    assert _stands(failed) == {"item": "NO", "coupon": "AWAITING", "payment": "RELEASING"}
    assert heard.of(ReleasePayment) == [ReleasePayment(order_id=order.id)]
    assert heard.of(ReleaseItem) + heard.of(ReleaseCoupon) == []
    assert [(told.reason, told.settled) for told in heard.of(OrderFailed)] == [("out_of_stock", False)]
    await _say(db, events.CouponApplied(order_id=order.id))
    assert heard.of(ReleaseCoupon) == [ReleaseCoupon(order_id=order.id)]
    await _say(db, events.CouponReleased(order_id=order.id))
    await _say(db, events.PaymentRefunded(order_id=order.id, payment_id=new_id()))
    assert (await _look(db, order.id)).status == "FAIL"
    await _say(db, events.PaymentRefunded(order_id=order.id, payment_id=payment_id))
    done = await _look(db, order.id)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "out_of_stock")
    assert [told.reason for told in heard.of(OrderCancelled)] == ["out_of_stock"]


async def test_a_failure_with_nothing_to_give_back_rests_at_once(db: Database, heard: Heard) -> None:
    order = await _place(db, _call())
    await _say(db, _no(order.id, "price_changed"))
    assert [told.settled for told in heard.of(OrderFailed)] == [True]
    assert heard.of(OrderSettled) == []
    silent = await _place(db, _couponed())
    await _say(db, _no(silent.id, "price_changed"))
    await _say(db, events.CouponRejected(order_id=silent.id, reason="coupon_invalid", details={}))
    assert [told.settled for told in heard.of(OrderFailed)] == [True, False]
    assert heard.of(OrderSettled) == [
        OrderSettled(order_id=silent.id, buyer_id=BUYER, reason="price_changed")
    ]
    assert (await _look(db, silent.id)).settled


async def test_orders_of_one_list_go_their_own_ways(db: Database, heard: Heard) -> None:
    orders = [await _place(db, _couponed()) for _ in range(6)]
    await _say(db, *(events.CouponApplied(order_id=order.id) for order in orders[:4]))
    await _say(
        db,
        *(_reserved(order.id) for order in orders[:3]),
        *(_no(order.id) for order in orders[3:]),
    )
    found = [(await _look(db, order.id)) for order in orders]
    assert [order.status for order in found] == ["COMPLETED"] * 3 + ["FAIL"] * 3
    assert heard.of(ReleaseCoupon) == [ReleaseCoupon(order_id=orders[3].id)]


async def test_all_that_is_heard_of_an_order_may_come_in_one_list(db: Database, heard: Heard) -> None:
    """Whatever kinds of answers share a list, each order goes where they take it one after the other."""
    done, refused, late = [(await _place(db, _couponed())).id for _ in range(3)]
    await _hear(
        db,
        _reserved(done),
        events.CouponApplied(order_id=refused),
        _no(refused),
        events.CouponApplied(order_id=done),
        _no(late),
        events.CouponApplied(order_id=late),
        events.CouponReleased(order_id=late),
    )
    ends = {order_id: await _look(db, order_id) for order_id in (done, refused, late)}
    assert [end.status for end in ends.values()] == ["COMPLETED", "FAIL", "CANCEL"]
    assert [entry.what for entry in ends[done].history] == [
        "ORDER_CREATED",
        "STOCK_DEDUCTED",
        "COUPON_APPLIED",
        "ORDER_COMPLETED",
    ]
    assert _stands(ends[refused]) == {"item": "NO", "coupon": "RELEASING"}
    assert [told.order_id for told in heard.of(ReleaseCoupon)] == [refused, late]
    assert [told.order_id for told in heard.of(OrderCancelled)] == [late]


async def test_answers_about_an_unknown_order_are_passed_over(db: Database, heard: Heard) -> None:
    order = await _place(db, _call())
    await _say(db, _reserved(new_id()), _reserved(order.id))
    await _say(db, _no(new_id()), events.StockReleased(order_id=new_id()))
    assert (await _look(db, order.id)).status == "COMPLETED"
    assert await _count(db, "orders") == 1


# Deadlines -----------------------------------------------------------------------------------------------


@pytest.fixture
def outbox(db: Database) -> Outbox:
    """The order service's outbox, connected long ago; nothing waits in it."""
    outbox = Outbox("order", db)
    outbox.connected_since = utc_now() - timedelta(hours=1)
    return outbox


async def _sweep(db: Database, outbox: Outbox, *, after_s: float) -> None:
    await _later(db, after_s, lambda tx: sweeps.fail_overdue(tx, outbox, SETTINGS))


async def _deadline(db: Database, order_id: UUID) -> datetime | None:
    row = await db.read(lambda r: r.row("SELECT deadline_at FROM orders WHERE id = %s", [order_id]))
    assert row is not None
    return row[0]


async def test_an_order_whose_deadline_passed_fails_and_everything_is_asked_back(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order, done = await _place(db, _couponed()), await _place(db, _call())
    await _say(db, events.CouponApplied(order_id=order.id), _reserved(done.id))
    await _sweep(db, outbox, after_s=29)
    assert (await _look(db, order.id)).status == "PENDING"
    await _sweep(db, outbox, after_s=31)
    failed = await _look(db, order.id)
    assert (failed.status, failed.reason, failed.reason_details) == ("FAIL", "timeout", {"silent": ["item"]})
    assert set(_stands(failed).values()) == {"RELEASING"}
    assert len(heard.of(ReleaseItem)) == len(heard.of(ReleaseCoupon)) == 1
    assert await _deadline(db, order.id) is None
    assert (await _look(db, done.id)).status == "COMPLETED"
    await _sweep(db, outbox, after_s=100)
    assert len(heard.of(OrderFailed)) == 1


async def test_the_silent_of_a_failed_order_are_asked_back_at_its_deadline(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order = await _place(db, _couponed())
    await _say(db, _no(order.id))
    assert await _deadline(db, order.id) is not None
    await _sweep(db, outbox, after_s=31)
    assert heard.of(ReleaseCoupon) == [ReleaseCoupon(order_id=order.id)]
    await _say(db, events.CouponReleased(order_id=order.id))
    done = await _look(db, order.id)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "out_of_stock")


async def test_nothing_fails_while_the_broker_is_away(db: Database, heard: Heard, outbox: Outbox) -> None:
    order = await _place(db, _call())
    outbox.connected_since = None
    await _sweep(db, outbox, after_s=500)
    assert (await _look(db, order.id)).status == "PENDING"


async def test_an_order_found_due_just_after_connecting_is_given_one_more_deadline(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order = await _place(db, _call())
    outbox.connected_since = utc_now() + timedelta(seconds=90)
    await _sweep(db, outbox, after_s=100)
    assert (await _look(db, order.id)).status == "PENDING"
    await _sweep(db, outbox, after_s=129)
    assert (await _look(db, order.id)).status == "PENDING"
    await _sweep(db, outbox, after_s=131)
    assert (await _look(db, order.id)).reason == "timeout"


async def test_an_order_not_yet_published_is_given_one_more_deadline(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    db.publish_through(outbox)  # no exchange: rows stay in the table
    waiting = [await _place(db, _call()) for _ in range(2)]
    db.publish_through(heard)
    gone = await _place(db, _call())
    await _sweep(db, outbox, after_s=31)
    assert [(await _look(db, order.id)).status for order in (*waiting, gone)] == [
        "PENDING",
        "PENDING",
        "FAIL",
    ]
    await db.transaction(lambda tx: tx.execute("DELETE FROM outbox"))
    await _sweep(db, outbox, after_s=60)
    assert {(await _look(db, order.id)).status for order in waiting} == {"PENDING"}
    await _sweep(db, outbox, after_s=62)
    assert {(await _look(db, order.id)).reason for order in waiting} == {"timeout"}


async def test_several_sweeps_at_once_fail_each_order_once(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    ids = [(await _place(db, _call())).id for _ in range(30)]
    await asyncio.gather(*(_sweep(db, outbox, after_s=31) for _ in range(4)))
    await _sweep(db, outbox, after_s=31)
    assert sorted(told.order_id for told in heard.of(OrderFailed)) == sorted(ids)
    assert len(heard.of(ReleaseItem)) == 30


async def test_sweep_and_answers_at_once_leave_every_order_either_done_or_failed(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    ids = [(await _place(db, _call())).id for _ in range(20)]
    await asyncio.gather(
        _sweep(db, outbox, after_s=31),
        _say(db, *(_reserved(one) for one in ids[:10])),
        _say(db, *(_reserved(one) for one in ids[5:15])),
    )
    await _sweep(db, outbox, after_s=31)
    completed = {told.order_id for told in heard.of(OrderCompleted)}
    failed = {told.order_id for told in heard.of(OrderFailed)}
    assert completed | failed == set(ids)
    assert not completed & failed
    assert {told.order_id for told in heard.of(ReleaseItem)} == failed


# Paying later --------------------------------------------------------------------------------------------


async def _completed(
    db: Database, call: PlaceOrder | None = None, settings: OrderSettings = SETTINGS
) -> UUID:
    order = await _place(db, call or _call())
    await db.transaction(lambda tx: events.hear_answers([_reserved(order.id)], tx, settings))
    return order.id


async def _due(db: Database, order_id: UUID, buyer_id: int = BUYER) -> int:
    call = GetPaymentDue(order_id=order_id, buyer_id=buyer_id)
    return (await db.read(lambda reader: calls.get_payment_due(call, reader))).amount


async def test_the_amount_is_given_while_an_order_is_to_be_paid_and_to_its_buyer_alone(db: Database) -> None:
    order = await _place(db, _call())
    with pytest.raises(Conflict, match="PENDING"):
        await _due(db, order.id)
    await _say(db, _reserved(order.id))
    assert await _due(db, order.id) == 200
    for order_id, buyer in ((order.id, BUYER + 1), (new_id(), BUYER)):
        with pytest.raises(NotFound):
            await _due(db, order_id, buyer)
    await _say(db, events.PaymentCaptured(order_id=order.id, payment_id=new_id()))
    with pytest.raises(Conflict, match="paid already"):
        await _due(db, order.id)
    await _cancel(db, order.id)
    with pytest.raises(Conflict, match="FAIL"):
        await _due(db, order.id)


async def test_the_first_payment_confirms_the_order_and_every_other_is_rejected(
    db: Database, heard: Heard
) -> None:
    order_id, first, second = await _completed(db), new_id(), new_id()
    for payment_id in (first, first, second):
        await _say(db, events.PaymentCaptured(order_id=order_id, payment_id=payment_id))
    paid = await _look(db, order_id)
    assert (paid.status, paid.paid, _stands(paid)) == ("COMPLETED", True, {"item": "YES", "payment": "YES"})
    assert [told.payment_id for told in heard.of(OrderConfirmed)] == [first]
    assert heard.of(ConfirmationRejected) == [
        ConfirmationRejected(order_id=order_id, payment_id=second, reason="paid")
    ]
    assert [entry.what for entry in paid.history][-3:] == [
        "PAYMENT_COMPLETED",
        "ORDER_CONFIRMED",
        "CONFIRMATION_REJECTED",
    ]


async def test_two_payments_at_once_confirm_an_order_once(db: Database, heard: Heard) -> None:
    order_id, ids = await _completed(db), [new_id() for _ in range(6)]
    await asyncio.gather(
        *(_say(db, events.PaymentCaptured(order_id=order_id, payment_id=one)) for one in ids)
    )
    confirmed = [told.payment_id for told in heard.of(OrderConfirmed)]
    assert len(confirmed) == 1
    assert {told.payment_id for told in heard.of(ConfirmationRejected)} == set(ids) - set(confirmed)


async def test_a_payment_for_an_order_that_was_cancelled_is_rejected(db: Database, heard: Heard) -> None:
    order_id, payment_id = await _completed(db), new_id()
    await _cancel(db, order_id)
    await _say(db, events.PaymentCaptured(order_id=order_id, payment_id=payment_id))
    assert [told.reason for told in heard.of(ConfirmationRejected)] == ["cancelled_by_buyer"]
    assert heard.of(ReleasePayment) == []
    await _say(db, events.StockReleased(order_id=order_id))
    assert (await _look(db, order_id)).status == "CANCEL"


async def test_a_cancelled_order_that_was_paid_later_waits_for_its_own_refund(
    db: Database, heard: Heard
) -> None:
    order_id, payment_id = await _completed(db), new_id()
    await _say(db, events.PaymentCaptured(order_id=order_id, payment_id=payment_id))
    await _cancel(db, order_id, "admin", None)
    assert heard.of(ReleasePayment) == [ReleasePayment(order_id=order_id)]
    await _say(db, events.StockReleased(order_id=order_id))
    await _say(db, events.PaymentRefunded(order_id=order_id, payment_id=new_id()))
    waiting = await _look(db, order_id)
    assert (waiting.settled, waiting.paid) == (False, True)
    await _say(db, events.PaymentRefunded(order_id=order_id, payment_id=payment_id))
    done = await _look(db, order_id)
    assert (done.status, done.reason, done.paid) == ("CANCEL", "cancelled_by_admin", False)
    assert "PAYMENT_REFUNDED" in [entry.what for entry in done.history]


async def test_what_is_not_paid_in_time_is_called_off(db: Database, heard: Heard, outbox: Outbox) -> None:
    settings = OrderSettings(order_deadline_s=30, order_unpaid_s=100)
    unpaid, paid = await _completed(db, settings=settings), await _completed(db, settings=settings)
    await _say(db, events.PaymentCaptured(order_id=paid, payment_id=new_id()))
    await _sweep(db, outbox, after_s=99)
    assert (await _look(db, unpaid)).status == "COMPLETED"
    await _sweep(db, outbox, after_s=101)
    expired = await _look(db, unpaid)
    assert (expired.status, expired.reason, _stands(expired)) == (
        "FAIL",
        "payment_expired",
        {"item": "RELEASING"},
    )
    assert [(told.reason, told.was_completed) for told in heard.of(OrderFailed)] == [
        ("payment_expired", True)
    ]
    assert (await _look(db, paid)).status == "COMPLETED"
    with pytest.raises(Conflict, match="payment_expired"):
        await _cancel(db, unpaid)


async def test_with_no_time_set_an_order_waits_for_its_payment_for_ever(db: Database, outbox: Outbox) -> None:
    order_id = await _completed(db, settings=OrderSettings(order_unpaid_s=0))
    assert await _deadline(db, order_id) is None
    await _sweep(db, outbox, after_s=10**7)
    assert (await _look(db, order_id)).status == "COMPLETED"


async def test_a_payment_key_is_for_cards_and_told_to_whom_it_concerns(db: Database, heard: Heard) -> None:
    await _place(db, _call(pay_with="card", payment_key="pay_1"))
    assert [told.payment_key for told in heard.of(OrderPlaced)] == ["pay_1"]
    for pay_with in ("points", None):
        [answer] = await _place_all(db, _call(pay_with=pay_with, payment_key="pay_1"))
        assert isinstance(answer, RuleBroken)
        assert [error.field for error in answer.errors] == ["payment_key"]


# Asking back again ---------------------------------------------------------------------------------------


async def _ask_again(db: Database, *, after_s: float) -> None:
    await _later(db, after_s, lambda tx: sweeps.release_again(tx, SETTINGS))


async def test_an_unanswered_release_is_sent_again_ever_more_slowly(db: Database, heard: Heard) -> None:
    order = await _place(db, _couponed())
    await _say(db, events.CouponApplied(order_id=order.id))
    await _say(db, _no(order.id))
    asked = []
    for second in range(0, 160, 5):
        before = len(heard.of(ReleaseCoupon))
        await _ask_again(db, after_s=second)
        if len(heard.of(ReleaseCoupon)) > before:
            asked.append(second)
    # 10 s after the first, then 20, 40 and 80 s after the one before.
    assert asked == [10, 30, 70, 150]
    await _say(db, events.CouponReleased(order_id=order.id))
    sent = len(heard.of(ReleaseCoupon))
    await _ask_again(db, after_s=10_000)
    assert len(heard.of(ReleaseCoupon)) == sent


async def test_the_pause_between_releases_has_a_bound(db: Database, heard: Heard) -> None:
    order = await _place(db, _call())
    await _cancel(db, order.id)
    await _say(db, _reserved(order.id))
    for round_ in range(1, 30):
        await _ask_again(db, after_s=round_ * 601)
    assert len(heard.of(ReleaseItem)) == 30


async def test_a_release_sent_again_is_a_new_event(db: Database, outbox: Outbox) -> None:
    db.publish_through(outbox)
    order = await _place(db, _couponed())
    await _say(db, events.CouponApplied(order_id=order.id))
    await _say(db, _no(order.id))
    await _ask_again(db, after_s=11)
    bodies = await db.read(lambda r: r.rows("SELECT body FROM outbox WHERE type = 'order.release.coupon'"))
    sent = [event for (body,) in bodies for event in msgspec.json.decode(body)]
    assert [event["subject"] for event in sent] == [str(order.id)] * 2
    assert len({event["id"] for event in sent}) == 2


async def test_several_sweeps_at_once_ask_again_once(db: Database, heard: Heard) -> None:
    ids = [(await _place(db, _call())).id for _ in range(10)]
    await _say(db, *(_reserved(one) for one in ids))
    for one in ids:
        await _cancel(db, one)
    assert len(heard.of(ReleaseItem)) == 10
    await asyncio.gather(*(_ask_again(db, after_s=11) for _ in range(4)))
    await _ask_again(db, after_s=11)
    assert len(heard.of(ReleaseItem)) == 20


async def test_an_answer_that_comes_too_late_is_kept_in_the_history_and_delays_nothing(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order = await _place(db, _call())
    await _sweep(db, outbox, after_s=31)
    await _later(db, 39, lambda tx: events.hear_answers([_reserved(order.id)], tx, SETTINGS))
    failed = await _look(db, order.id)
    assert _stands(failed) == {"item": "RELEASING"}
    assert (failed.history[-1].what, failed.history[-1].details) == ("STOCK_DEDUCTED", {"ignored": True})
    await _ask_again(db, after_s=42)
    assert len(heard.of(ReleaseItem)) == 2


# Looking and cancelling ----------------------------------------------------------------------------------


async def test_an_order_is_shown_to_its_buyer_and_to_admins(db: Database) -> None:
    order = await _place(db, _call())
    asked = [GetOrder(order_id=order.id, buyer_id=buyer) for buyer in (BUYER, None, BUYER + 1)]
    answers = await db.read(lambda r: calls.get_orders([*asked, GetOrder(order_id=new_id())], r))
    assert [type(answer) for answer in answers] == [OrderView, OrderView, NotFound, NotFound]


async def test_who_sees_an_order_settled_sees_the_rest_of_it_as_settled(db: Database) -> None:
    """The statements of one look see different moments; what is read after the status may only be newer."""
    for _ in range(15):
        order = await _place(db, _couponed())
        answers = (_reserved(order.id), events.CouponApplied(order_id=order.id))

        async def watch(order_id: UUID = order.id) -> OrderView:
            while not (seen := await _look(db, order_id)).settled:
                pass
            return seen

        seen, _ = await asyncio.gather(watch(), _say(db, *answers))
        assert set(_stands(seen).values()) == {"YES"}
        assert seen.history[-1].what == "ORDER_COMPLETED"


async def test_pages_of_orders_go_from_the_newest_to_the_oldest(db: Database) -> None:
    mine = [(await _place(db, _call())).id for _ in range(7)]
    others = [(await _place(db, _call(buyer_id=BUYER + 1))).id for _ in range(3)]

    async def pages(buyer_id: int | None, limit: int) -> list[list[UUID]]:
        found: list[list[UUID]] = []
        after = None
        while True:
            asked = ListOrders(buyer_id=buyer_id, limit=limit, after=after)
            page = await db.read(lambda r, asked=asked: calls.list_orders(asked, r))
            found.append([order.id for order in page.items])
            after = page.next
            if after is None:
                return found

    assert await pages(BUYER, 3) == [mine[:3:-1], mine[3:0:-1], mine[:1]]
    assert await pages(BUYER, 7) == [mine[::-1]]
    assert await pages(None, 100) == [[*others[::-1], *mine[::-1]]]
    assert await pages(BUYER + 2, 5) == [[]]


async def test_lines_keep_what_their_items_were_called_when_they_were_taken(db: Database) -> None:
    order = await _place(db, _call(_line(item_id=1), _line(item_id=2)))
    assert [line.name for line in order.lines] == [None, None]
    for name in ("Mug", "Cup"):
        await _say(db, events.StockReserved(order_id=order.id, names={1: name, 2: "Plate"}))
    assert [line.name for line in (await _look(db, order.id)).lines] == ["Mug", "Plate"]


async def test_orders_are_listed_by_status_and_time(db: Database) -> None:
    async def listed(**wanted: Any) -> list[UUID]:
        page = await db.read(lambda r: calls.list_orders(ListOrders(buyer_id=BUYER, **wanted), r))
        return [order.id for order in page.items]

    before = utc_now()
    done, waiting = await _completed(db), (await _place(db, _call())).id
    after = utc_now() + timedelta(milliseconds=1)
    assert await listed(status="COMPLETED") == [done]
    assert await listed(status="PENDING") == [waiting]
    assert await listed(status="CANCEL") == []
    assert await listed(since=before, until=after) == [waiting, done]
    assert await listed(since=before, status="PENDING", after=waiting) == []
    assert await listed(until=before) == await listed(since=after) == []
    far = timedelta(days=400)
    assert await listed(since=before - far, until=after + far) == [waiting, done]


async def test_a_completed_order_can_be_cancelled_once_and_again_without_effect(
    db: Database, heard: Heard
) -> None:
    order = await _place(db, _call())
    await _say(db, _reserved(order.id))
    first = await _cancel(db, order.id)
    assert (first.status, first.settled, first.reason) == ("FAIL", False, "cancelled_by_buyer")
    assert await _cancel(db, order.id) == first
    await _say(db, events.StockReleased(order_id=order.id))
    done = await _cancel(db, order.id, "admin", None)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "cancelled_by_buyer")
    assert len(heard.of(ReleaseItem)) == len(heard.of(OrderFailed)) == 1


async def test_cancelling_everywhere_at_once_cancels_once(db: Database, heard: Heard) -> None:
    order = await _place(db, _call())
    await _say(db, _reserved(order.id))
    answers = await asyncio.gather(*(_cancel(db, order.id) for _ in range(6)))
    assert {answer.reason for answer in answers} == {"cancelled_by_buyer"}
    assert len(heard.of(ReleaseItem)) == 1


async def test_an_order_that_failed_by_itself_cannot_be_cancelled(db: Database) -> None:
    order = await _place(db, _call())
    await _say(db, _no(order.id))
    with pytest.raises(Conflict, match="out_of_stock"):
        await _cancel(db, order.id)


async def test_nobody_cancels_what_is_not_his(db: Database) -> None:
    order = await _place(db, _call())
    for order_id, buyer in ((order.id, BUYER + 1), (new_id(), BUYER), (new_id(), None)):
        with pytest.raises(NotFound):
            await _cancel(db, order_id, "buyer", buyer)
    assert (await _cancel(db, order.id, "admin", None)).reason == "cancelled_by_admin"


async def test_every_kind_of_release_has_its_event() -> None:
    assert {name: kind.wire_name for name, kind in store.RELEASES.items()} == {
        name: f"order.release.{name}" for name in ("item", "coupon", "payment")
    }
