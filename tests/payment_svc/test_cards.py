"""Cards that pay for orders: whatever the gateway answers or does not, payments and its book agree."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from payment_svc import calls, cards, events, pgs
from payment_svc.contracts import (
    GetPayment,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentView,
)
from payment_svc.pgs import Card, Finding, Report
from payment_svc.store import payments
from shared.database.idempotency import AnsweredBefore, Idempotency, Key
from shared.errors import Conflict, NotFound, RuleBroken
from shared.ids import new_id
from tests.payment_svc.fake_pg import HANG, LATE, LOST, error
from tests.payment_svc.world import BUYER, PRICE, Orders, World, at_once


async def test_without_a_key_the_test_card_pays(world: World) -> None:
    paid = await world.pay()
    assert (paid.status, paid.amount, paid.refunded, paid.method) == ("CAPTURED", PRICE, 0, "card")
    assert [one.amount for one in world.heard.of(PaymentCaptured)] == [PRICE]
    look = GetPayment(payment_id=paid.id, user_id=BUYER)
    shown = await world.db.read(lambda reader: calls.get_payment(look, reader))
    assert (shown.id, shown.status, shown.created_at is not None) == (paid.id, "CAPTURED", True)
    for unseen in (GetPayment(payment_id=paid.id, user_id=BUYER + 1), GetPayment(payment_id=new_id())):
        with pytest.raises(NotFound):
            await world.db.read(lambda reader, unseen=unseen: calls.get_payment(unseen, reader))
    await world.books_agree()


async def test_where_there_is_no_test_card_a_card_needs_a_key(world: World) -> None:
    world.set(pg_test_key="")
    with pytest.raises(RuleBroken, match="NO_PAYMENT_KEY"):
        await world.pay()
    order_id = await world.place()
    assert [one.details["code"] for one in world.heard.of(PaymentDeclined)] == ["NO_PAYMENT_KEY"] * 2
    assert (await world.of(order_id)).state == "REJECTED"
    assert world.pg.requests == []


async def test_a_declined_card_takes_nothing_and_another_may_be_tried(world: World) -> None:
    order_id, payment_id = new_id(), new_id()
    world.pg.always[("confirm", "pay_no")] = error(403, "REJECT_CARD_COMPANY", "No funds.")
    for _ in range(2):  # the same call again is the same payment
        with pytest.raises(RuleBroken, match=r"REJECT_CARD_COMPANY.* No funds\."):
            await world.pay(order_id, payment_id=payment_id, payment_key="pay_no")
    [told] = world.heard.of(PaymentDeclined)
    assert (told.reason, told.details) == (
        "card_declined",
        {"code": "REJECT_CARD_COMPANY", "message": "No funds."},
    )
    assert (await world.pay(order_id)).status == "CAPTURED"
    await world.books_agree()


async def test_of_payments_at_once_one_wins_and_the_others_are_refused(world: World) -> None:
    order_id = new_id()
    assert await at_once(*(world.pay(order_id) for _ in range(6))) == ["Conflict"] * 5 + ["PaymentView"]
    assert len(world.heard.of(PaymentCaptured)) == 1
    await world.books_agree()


async def test_the_same_number_is_the_same_payment_and_for_another_wish_refused(world: World) -> None:
    order_id, payment_id = new_id(), new_id()
    outcomes = await asyncio.gather(*(world.pay(order_id, payment_id=payment_id) for _ in range(4)))
    assert {one.id for one in outcomes} == {payment_id}
    assert len(world.pg.entries) == 1
    for another_order, user_id in ((new_id(), BUYER), (order_id, BUYER + 1)):
        with pytest.raises(RuleBroken, match="INTENT_USED"):
            await world.pay(another_order, payment_id=payment_id, user_id=user_id)


async def test_a_call_that_its_twin_overtakes_is_answered_with_the_twins_payment(world: World) -> None:
    order_id, payment_id = new_id(), new_id()

    class Slow(Orders):
        """Lets the twin pay before it says what is due, which then is nothing any more."""

        async def call(self, call: Any, **_: Any) -> Any:
            world.orders = quick
            assert (await world.pay(order_id, payment_id=payment_id)).status == "CAPTURED"
            raise Conflict("The order is paid already.")

    quick, world.orders = world.orders, Slow()
    assert (await world.pay(order_id, payment_id=payment_id)).status == "CAPTURED"
    assert len(world.pg.entries) == 1
    world.orders.due[order_id] = 0
    with pytest.raises(Conflict, match="paid already"):
        await world.pay(order_id)


@pytest.mark.parametrize("lease_s", [60.0, 0.0], ids=["answered", "abandoned"])
async def test_a_twin_with_the_same_key_and_another_number_is_no_second_payment(
    world: World, lease_s: float
) -> None:
    order_id, key = new_id(), Key(id="a" * 64, owner=BUYER, fingerprint="f")
    faster, slower = (Idempotency("payment.pay", key, str, lease_s) for _ in range(2))
    paid: list[PaymentView] = []

    class Slow(Orders):
        """Lets the faster one pay before it says what is due, which then is nothing any more."""

        async def call(self, call: Any, **_: Any) -> Any:
            world.orders = quick
            paid.append(await world.pay(order_id, once=faster))
            if lease_s:
                await world.within(lambda tx: faster.keep(tx, paid[0].id))
            raise Conflict("The order is paid already.")

    quick, world.orders = world.orders, Slow()
    if lease_s:
        with pytest.raises(AnsweredBefore) as before:
            await world.pay(order_id, once=slower)
        assert before.value.again.answer == str(paid[0].id)
    else:
        assert await world.pay(order_id, once=slower) == paid[0]
    assert len(world.pg.entries) == 1


@pytest.mark.parametrize("fields", [{"payment_key": "pay_1"}, {"has_intent": True}])
async def test_a_points_payment_has_no_card(world: World, fields: dict[str, Any]) -> None:
    with pytest.raises(RuleBroken):
        await world.pay(method="points", **fields)


@pytest.mark.parametrize("how", [LOST, LATE])
async def test_a_charge_whose_answer_is_lost_or_late_is_found_and_made_once(world: World, how: str) -> None:
    order_id = new_id()
    world.pg.next("confirm", how, httpx.ReadError("gone"))
    paid = await world.pay(order_id)
    assert paid.status == "ASKING"
    with pytest.raises(Conflict, match="under way"):
        await world.pay(order_id)
    world.pg.arrive()
    await world.until(paid.id, "HELD")
    assert len(world.heard.of(PaymentCaptured)) == 1
    assert len(world.pg.entries) == 1
    await world.books_agree()


async def test_a_temporary_error_is_none_for_ever(world: World) -> None:
    world.pg.next("confirm", error(400, "PROVIDER_ERROR"), error(500, "FAILED_INTERNAL_SYSTEM_PROCESSING"))
    paid = await world.pay()
    assert paid.status == "ASKING"
    await world.until(paid.id, "HELD")
    keys = [one.headers["idempotency-key"] for one in world.pg.requests if one.method == "POST"]
    assert len(set(keys)) == len(keys) - 1  # only the 500 was asked again as the same question
    await world.books_agree()


async def test_a_card_that_is_never_answered_for_is_called_off(world: World) -> None:
    world.pg.always[("confirm", None)] = HANG
    world.set(pg_timeout_s=0.05)
    paid = await world.pay()
    assert paid.status == "ASKING"
    await world.later(61)
    await world.until(paid.id, "REJECTED")
    assert [one.details["code"] for one in world.heard.of(PaymentDeclined)] == ["NO_ANSWER"]
    await world.books_agree()


async def test_a_charge_that_arrives_when_all_was_given_up_goes_back(world: World) -> None:
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    paid = await world.pay()
    await world.later(61)
    world.pg.always[("confirm", None)] = httpx.ReadError("gone")
    rejected = await world.until(paid.id, "REJECTED")
    assert rejected.ask_due_at is not None  # the one last look
    world.pg.arrive()
    await world.reconcile()
    assert (await world.payment(paid.id)).state == "REJECTED"
    await world.later(600)
    await world.until(paid.id, "RELEASED")
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [PRICE]
    assert world.pg.held() == {}


async def test_a_resting_payment_that_turns_out_charged_goes_back_on_a_notice(world: World) -> None:
    world.pg.always[("confirm", None)] = error(403, "REJECT_CARD_PAYMENT")
    number = new_id()
    with pytest.raises(RuleBroken):
        await world.pay(payment_id=number, payment_key="pay_1")
    world.pg.charge(number, "pay_1", PRICE)  # the gateway has changed its mind
    await world.later(20)
    await world.notice(number)
    released = await world.until(number, "RELEASED")
    assert (released.refunded, world.pg.held()) == (PRICE, {})


async def test_a_card_as_part_of_the_order_is_asked_about_after_the_commit(world: World) -> None:
    refused = error(403, "REJECT_CARD_PAYMENT")
    yes, no = world.placed(), world.placed(total=1)
    await world.place(yes, no)
    assert world.heard.events == []
    number = (await world.of(no.order_id)).payment_id
    world.pg.always[("confirm", f"default_{number}")] = refused
    await world.reconcile()
    assert [one.order_id for one in world.heard.of(PaymentCaptured)] == [yes.order_id]
    assert [one.order_id for one in world.heard.of(PaymentDeclined)] == [no.order_id]
    world.heard.events.clear()
    await world.release(yes.order_id)
    assert world.heard.events == []  # not before the gateway has given it back
    await world.reconcile()
    await world.release(no.order_id)
    told = world.heard.of(PaymentRefunded)
    assert [(one.order_id, one.amount) for one in told] == [(yes.order_id, PRICE), (no.order_id, 0)]
    await world.release(yes.order_id)
    assert len(world.heard.of(PaymentRefunded)) == 3
    assert world.pg.held() == {}


@pytest.mark.parametrize("how", [HANG, LATE, LOST])
async def test_a_release_while_nothing_is_known_is_acknowledged_when_nothing_can_be_charged(
    world: World, how: str
) -> None:
    world.set(pg_tries=1)
    order_id = await world.place()
    number = (await world.of(order_id)).payment_id
    gone = httpx.ReadError("gone")
    world.pg.next("confirm", how, *([gone] * 5))
    asking = asyncio.create_task(world.reconcile())
    await world.pg.is_asked("confirm")
    await world.release(order_id)
    await asking
    assert (await world.payment(number)).state in ("RELEASING", "RELEASED")
    if how != LOST:  # a charge may still be on its way, so nothing is acknowledged
        assert world.heard.of(PaymentRefunded) == []
    world.pg.arrive()
    await world.later(61)
    await world.until(number, "RELEASED")
    assert world.heard.of(PaymentCaptured) == []
    assert len(world.heard.of(PaymentRefunded)) == 1
    assert world.pg.held() == {}


async def test_an_answer_that_is_older_than_the_release_does_not_lose_its_due_time(world: World) -> None:
    """The two who know different states, step by step: one asked, the other released, the one writes down."""
    order_id = await world.place()
    await world.reconcile()
    held = await world.of(order_id)
    await world.later(20)
    await world.notice(held.payment_id, status="CANCELED")
    [asked] = await world.within(lambda tx: payments.take_due(tx, lease_s=30, limit=5, first=5))
    await world.release(order_id)
    released = await world.payment(held.payment_id)
    for stale in (Finding.CHARGED, Finding.CANCELLED, Finding.UNKNOWN, Finding.NOTHING):
        report = Report(stale, PRICE if stale is Finding.CANCELLED else 0)
        await world.within(lambda tx, report=report: cards.write_down(tx, asked, report, world.settings))
        now = await world.payment(held.payment_id)
        assert (now.state, now.ask_due_at) == ("RELEASING", released.ask_due_at)
    await world.until(held.payment_id, "RELEASED")
    assert world.pg.held() == {}
    assert len(world.heard.of(PaymentRefunded)) == 1


async def test_many_are_bought_and_cancelled_at_once(world: World) -> None:
    orders = [world.placed() for _ in range(40)]
    await world.place(*orders)

    async def cancel_each() -> None:
        for order in orders:
            await world.release(order.order_id)

    await asyncio.gather(world.reconcile(), cancel_each(), world.reconcile())
    await world.later(61)
    for _ in range(3):
        await world.execute("UPDATE payments SET ask_due_at = UTC_TIMESTAMP(6) WHERE state = 'RELEASING'")
        await world.reconcile()
    assert await world.sql("SELECT state, COUNT(*) FROM payments GROUP BY state") == [("RELEASED", 40)]
    assert world.pg.held() == {}
    assert {one.order_id for one in world.heard.of(PaymentRefunded)} == {one.order_id for one in orders}


async def test_a_repeated_release_is_asked_about_soon_whatever_was_put_off(world: World) -> None:
    order_id = await world.place()
    await world.reconcile()
    world.pg.next("cancel", *([httpx.ReadError("gone")] * 2))
    await world.release(order_id)
    await world.reconcile()
    await world.later(-3_600)
    assert (await world.of(order_id)).state == "RELEASING"
    await world.release(order_id)
    await world.reconcile()
    assert (await world.of(order_id)).state == "RELEASED"


async def test_a_payment_that_its_order_does_not_take_goes_back(world: World) -> None:
    paid = await world.pay()
    rejected = events.ConfirmationRejected(payment_id=paid.id)
    for _ in range(2):
        await world.within(lambda tx: events.refund_rejected([rejected], tx))
        await world.reconcile()
    assert world.pg.held() == {}
    assert {one.payment_id for one in world.heard.of(PaymentRefunded)} == {paid.id}


async def test_a_rejection_of_a_payment_that_is_not_known_yet_is_not_dropped(world: World) -> None:
    paid, later = await world.pay(), new_id()
    rejected = [events.ConfirmationRejected(payment_id=one) for one in (paid.id, later)]
    with pytest.raises(NotFound, match=str(later)):
        await world.within(lambda tx: events.refund_rejected(rejected, tx))


async def test_who_asked_may_die_and_another_finds_out(world: World) -> None:
    """The row says ASKING and the gateway was asked: the job that takes over looks first, charges once."""
    order_id = await world.place()
    [payment] = await world.within(lambda tx: payments.take_due(tx, lease_s=0, limit=5, first=5))
    await world.within(lambda tx: payments.charging(tx, payment))
    card = Card(payment.payment_id, payment.card_key or "", PRICE)
    await pgs.adapter(world.settings).charge(card, attempt=1)
    await world.until(payment.payment_id, "HELD")
    assert (await world.of(order_id)).state == "HELD"
    assert len(world.pg.entries) == 1


@pytest.mark.parametrize("change", [{"totalAmount": 1}, {"currency": "USD"}])
async def test_what_is_not_ours_is_no_payment_and_no_loss(world: World, change: dict[str, Any]) -> None:
    """The gateway has our number, but for something else: nobody's charge is touched, a person looks."""
    order_id = await world.place(world.placed())
    number = (await world.of(order_id)).payment_id
    charge = world.pg.charge(number, f"default_{number}", PRICE)
    charge |= change
    for _ in range(8):
        await world.reconcile()
        await world.execute("UPDATE payments SET ask_due_at = UTC_TIMESTAMP(6) WHERE state = 'ASKING'")
    payment = await world.of(order_id)
    assert (payment.state, payment.reason) == ("NEEDS_ATTENTION", "contradiction")
    assert world.heard.of(PaymentCaptured) == []
    await world.release(order_id)
    await world.reconcile()
    assert world.pg.asked["cancel"] == 0
    assert world.heard.of(PaymentRefunded) == []


async def test_a_key_that_pays_for_another_s_order_pays_for_nothing_here(world: World) -> None:
    world.pg.charge(UUID(int=9), "pay_theirs", PRICE)
    with pytest.raises(RuleBroken, match="ALREADY_PROCESSED_PAYMENT"):
        await world.pay(payment_key="pay_theirs")
    [told] = world.heard.of(PaymentDeclined)
    await world.release(told.order_id)
    await world.reconcile()
    assert world.pg.asked["cancel"] == 0
    assert list(world.pg.held().values()) == [PRICE]


async def test_a_charge_cancelled_at_the_gateway_takes_its_order_with_it(world: World) -> None:
    paid = await world.pay()
    assert paid.order_id is not None
    world.pg.cancel(paid.id)
    await world.later(20)
    await world.notice(paid.id)
    await world.reconcile()
    assert world.orders.cancelled[:1] == [paid.order_id]
    held = await world.payment(paid.id)
    assert (held.state, held.ask_due_at is not None) == ("HELD", True)  # until its order asks for the release
    await world.release(paid.order_id)
    released = await world.until(paid.id, "RELEASED")
    assert (released.refunded, released.released) == (PRICE, PRICE)
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [PRICE]
    assert world.pg.asked["cancel"] == 0
