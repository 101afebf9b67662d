"""Paying for an order that is completed, on a real database."""

import asyncio
from uuid import UUID

import pytest

from order_svc import calls, due, events, sweeps
from order_svc.contracts import (
    ConfirmationRejected,
    GetPaymentDue,
    OrderConfirmed,
    OrderFailed,
    OrderPlaced,
    ReleasePayment,
)
from order_svc.settings import OrderSettings
from shared.database.units import Database
from shared.errors import Conflict, NotFound, RuleBroken
from shared.events.outbox import Outbox
from shared.ids import new_id
from tests.order_svc.acts import (
    BUYER,
    a_completed_order,
    an_order,
    cancel,
    deadline_of,
    look,
    place,
    place_all,
    reserved,
    say,
    states,
    sweep,
)
from tests.support.databases import Heard


async def _due(db: Database, order_id: UUID, buyer_id: int = BUYER) -> int:
    call = GetPaymentDue(order_id=order_id, buyer_id=buyer_id)
    return (await db.read(lambda reader: calls.get_payment_due(call, reader))).amount


async def test_the_amount_is_given_while_an_order_is_to_be_paid_and_to_its_buyer_alone(db: Database) -> None:
    order = await place(db, an_order())
    with pytest.raises(Conflict, match="PENDING"):
        await _due(db, order.id)
    await say(db, reserved(order.id))
    assert await _due(db, order.id) == 200
    for order_id, buyer in ((order.id, BUYER + 1), (new_id(), BUYER)):
        with pytest.raises(NotFound):
            await _due(db, order_id, buyer)
    await say(db, events.PaymentCaptured(order_id=order.id, payment_id=new_id()))
    with pytest.raises(Conflict, match="paid already"):
        await _due(db, order.id)
    await cancel(db, order.id)
    with pytest.raises(Conflict, match="FAIL"):
        await _due(db, order.id)


async def test_the_first_payment_confirms_the_order_and_every_other_is_rejected(
    db: Database, heard: Heard
) -> None:
    order_id, first, second = await a_completed_order(db), new_id(), new_id()
    for payment_id in (first, first, second):
        await say(db, events.PaymentCaptured(order_id=order_id, payment_id=payment_id))
    paid = await look(db, order_id)
    assert (paid.status, paid.paid, states(paid)) == ("COMPLETED", True, {"item": "YES", "payment": "YES"})
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
    order_id, ids = await a_completed_order(db), [new_id() for _ in range(6)]
    await asyncio.gather(*(say(db, events.PaymentCaptured(order_id=order_id, payment_id=one)) for one in ids))
    confirmed = [told.payment_id for told in heard.of(OrderConfirmed)]
    assert len(confirmed) == 1
    assert {told.payment_id for told in heard.of(ConfirmationRejected)} == set(ids) - set(confirmed)


async def test_a_payment_for_an_order_that_was_cancelled_is_rejected(db: Database, heard: Heard) -> None:
    order_id, payment_id = await a_completed_order(db), new_id()
    await cancel(db, order_id)
    await say(db, events.PaymentCaptured(order_id=order_id, payment_id=payment_id))
    assert [told.reason for told in heard.of(ConfirmationRejected)] == ["cancelled_by_buyer"]
    assert heard.of(ReleasePayment) == []
    await say(db, events.StockReleased(order_id=order_id))
    assert (await look(db, order_id)).status == "CANCEL"


async def test_a_cancelled_order_that_was_paid_later_waits_for_its_own_refund(
    db: Database, heard: Heard
) -> None:
    order_id, payment_id = await a_completed_order(db), new_id()
    await say(db, events.PaymentCaptured(order_id=order_id, payment_id=payment_id))
    await cancel(db, order_id, "admin", None)
    assert heard.of(ReleasePayment) == [ReleasePayment(order_id=order_id)]
    await say(db, events.StockReleased(order_id=order_id))
    await say(db, events.PaymentRefunded(order_id=order_id, payment_id=new_id()))
    waiting = await look(db, order_id)
    assert (waiting.settled, waiting.paid) == (False, True)
    await say(db, events.PaymentRefunded(order_id=order_id, payment_id=payment_id))
    done = await look(db, order_id)
    assert (done.status, done.reason, done.paid) == ("CANCEL", "cancelled_by_admin", False)
    assert "PAYMENT_REFUNDED" in [entry.what for entry in done.history]


async def test_what_is_not_paid_in_time_is_called_off(db: Database, heard: Heard, outbox: Outbox) -> None:
    settings = OrderSettings(order_deadline_s=30, order_unpaid_s=100)
    unpaid, paid = (
        await a_completed_order(db, settings=settings),
        await a_completed_order(db, settings=settings),
    )
    await say(db, events.PaymentCaptured(order_id=paid, payment_id=new_id()))
    await sweep(db, outbox, after_s=99)
    assert (await look(db, unpaid)).status == "COMPLETED"
    await sweep(db, outbox, after_s=101)
    expired = await look(db, unpaid)
    assert (expired.status, expired.reason, states(expired)) == (
        "FAIL",
        "payment_expired",
        {"item": "RELEASING"},
    )
    assert [(told.reason, told.was_completed) for told in heard.of(OrderFailed)] == [
        ("payment_expired", True)
    ]
    assert (await look(db, paid)).status == "COMPLETED"
    with pytest.raises(Conflict, match="payment_expired"):
        await cancel(db, unpaid)


async def test_with_no_time_set_an_order_waits_for_its_payment_for_ever(db: Database, outbox: Outbox) -> None:
    unlimited = OrderSettings(order_unpaid_s=0)
    order_id = await a_completed_order(db, settings=unlimited)
    assert await deadline_of(db, order_id) == due.FOR_EVER
    await db.transaction(lambda tx: sweeps.end_waiting_for_ever(tx, unlimited))
    await sweep(db, outbox, after_s=10**7)
    assert (await look(db, order_id)).status == "COMPLETED"


async def test_who_could_pay_at_any_time_has_a_deadline_once_there_is_one(
    db: Database, outbox: Outbox
) -> None:
    waiting = [await a_completed_order(db, settings=OrderSettings(order_unpaid_s=0)) for _ in range(3)]
    await say(db, events.PaymentCaptured(order_id=waiting[0], payment_id=new_id()))
    other = await a_completed_order(db)
    usual = await deadline_of(db, other)
    limited = OrderSettings(order_unpaid_s=100)
    await db.transaction(lambda tx: sweeps.end_waiting_for_ever(tx, limited))
    await sweep(db, outbox, after_s=99)
    assert {(await look(db, order_id)).status for order_id in waiting} == {"COMPLETED"}
    await sweep(db, outbox, after_s=101)
    assert [(await look(db, order_id)).reason for order_id in waiting] == [None, *["payment_expired"] * 2]
    assert await deadline_of(db, other) == usual


async def test_a_number_is_for_cards_and_told_to_whom_it_concerns(db: Database, heard: Heard) -> None:
    number = new_id()
    await place(db, an_order(pay_with="card", payment_id=number))
    await place(db, an_order(pay_with="card"))
    assert [told.payment_id for told in heard.of(OrderPlaced)] == [number, None]
    for pay_with in ("points", None):
        [answer] = await place_all(db, an_order(pay_with=pay_with, payment_id=number))
        assert isinstance(answer, RuleBroken)
        assert [error.field for error in answer.errors] == ["payment_id"]
