"""What the gateway refuses or contradicts waits for a person, is seen by operators, and is closed by one."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from payment_svc import calls
from payment_svc.contracts import (
    AuditPage,
    ListAudit,
    ListPayments,
    PaymentCaptured,
    PaymentKept,
    PaymentPage,
    PaymentRefunded,
)
from payment_svc.store import payments
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from tests.payment_svc.fake_pg import error
from tests.payment_svc.world import ADMIN, PRICE, World

REFUSED = error(403, "NOT_CANCELABLE_PAYMENT", "Settled with the merchant.")


async def _refused_cancel(world: World, *, part: int = 0) -> tuple[UUID, UUID]:
    """A payment whose release the gateway refuses; returns its order and number."""
    order_id = await world.place()
    await world.reconcile()
    number = (await world.of(order_id)).payment_id
    if part:
        await world.refund(number, part)
    world.pg.always[("cancel", None)] = REFUSED
    await world.release(order_id)
    await world.until(number, "NEEDS_ATTENTION")
    return order_id, number


async def _contradicted(world: World) -> tuple[UUID, UUID]:
    """A payment of which the gateway says that it is for another amount."""
    order_id = await world.place()
    number = (await world.of(order_id)).payment_id
    world.pg.charge(number, f"default_{number}", PRICE)["totalAmount"] = 1
    await world.until(number, "NEEDS_ATTENTION")
    return order_id, number


async def _page(world: World, **fields: Any) -> PaymentPage:
    return await world.db.read(lambda reader: calls.list_payments(ListPayments(**fields), reader))


async def _log(world: World) -> AuditPage:
    return await world.db.read(lambda reader: calls.list_audit(ListAudit(), reader))


async def test_a_refused_cancel_is_asked_for_no_more_and_seen_by_operators(world: World) -> None:
    order_id, number = await _refused_cancel(world)
    payment = await world.payment(number)
    assert (payment.reason, payment.ask_due_at) == ("cancel_refused", None)
    await world.release(order_id)
    asked = len(world.pg.requests)
    await world.later(3_600)
    await world.reconcile()
    assert len(world.pg.requests) == asked
    assert world.heard.of(PaymentRefunded) == []
    [seen] = (await _page(world)).items
    assert (seen.id, seen.order_id, seen.status, seen.amount) == (number, order_id, "NEEDS_ATTENTION", PRICE)
    assert seen.details == {
        "code": "NOT_CANCELABLE_PAYMENT",
        "message": "Settled with the merchant.",
        "wanted": "cancel",
    }
    assert seen.resolution is None
    await world.db.read(calls.measure)
    assert payments.NEEDING_ATTENTION._value.get() == 1


@pytest.mark.parametrize(
    ("outcome", "status", "amount"),
    [("returned", "REFUNDED", PRICE - 100), ("not_charged", "REFUNDED", 0), ("kept", "KEPT", PRICE - 100)],
)
async def test_a_person_closes_it_once_and_the_order_is_told(
    world: World, outcome: Any, status: str, amount: int
) -> None:
    order_id, number = await _refused_cancel(world, part=100)
    for _ in range(2):
        closed = await world.resolve(number, outcome, "by hand")
        assert (closed.status, closed.details["note"]) == (status, "by hand")
    for other in {"returned", "kept", "not_charged"} - {outcome}:
        with pytest.raises(Conflict, match=f"closed as {outcome}"):
            await world.resolve(number, other)
    told = world.heard.of(PaymentKept if outcome == "kept" else PaymentRefunded)
    assert [(one.order_id, one.amount) for one in told] == [(order_id, amount)]
    await world.release(order_id)  # whoever asks again is answered the same
    again = world.heard.of(PaymentKept if outcome == "kept" else PaymentRefunded)
    assert again == told * 2
    assert world.orders.cancelled == ([] if outcome == "kept" else [order_id])
    [entry, refund] = (await _log(world)).items
    assert (entry.action, entry.by, entry.subject) == ("payment.resolved", ADMIN, str(number))
    assert entry.details == {"outcome": outcome, "reason": "by hand", "amount": PRICE - 100}
    assert refund.action == "payment.refunded"
    [shown] = (await _page(world, status=status)).items
    assert shown.resolution is not None
    assert (shown.resolution.outcome, shown.resolution.reason, shown.resolution.by) == (
        outcome,
        "by hand",
        ADMIN,
    )


async def test_what_is_kept_although_nobody_wants_it_back_pays_for_its_order(world: World) -> None:
    order_id, number = await _contradicted(world)
    assert world.heard.events == []
    kept = await world.resolve(number, "kept")
    assert kept.status == "CAPTURED"
    assert [one.order_id for one in world.heard.of(PaymentCaptured)] == [order_id]


async def test_a_release_of_a_contradicted_payment_waits_for_its_person(world: World) -> None:
    order_id, number = await _contradicted(world)
    await world.release(order_id)
    assert world.heard.events == []
    assert (await world.resolve(number, "kept")).status == "KEPT"
    assert [one.amount for one in world.heard.of(PaymentKept)] == [PRICE]


async def test_an_order_that_would_stand_unpaid_is_called_off_first(world: World) -> None:
    order_id, number = await _contradicted(world)
    assert (await world.resolve(number, "not_charged")).status == "REFUNDED"
    assert world.orders.cancelled == [order_id]
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [0]


async def test_a_cancel_that_comes_true_later_closes_it_without_a_person(world: World) -> None:
    order_id, number = await _refused_cancel(world)
    world.pg.cancel(number, 100)
    await world.later(20)
    await world.notice(number)
    await world.reconcile()
    assert (await world.payment(number)).refunded == 100
    world.pg.cancel(number)
    await world.later(20)
    await world.notice(number)
    released = await world.until(number, "RELEASED")
    assert (released.refunded, released.released) == (PRICE, PRICE)
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [PRICE]
    with pytest.raises(Conflict):
        await world.resolve(number, "kept")
    assert world.orders.cancelled[:1] == [order_id]


async def test_what_a_person_has_closed_is_not_opened_again(world: World) -> None:
    _, number = await _refused_cancel(world)
    await world.resolve(number, "kept")
    await world.later(20)
    await world.notice(number)
    await world.catch_up()
    await world.reconcile()
    payment = await world.payment(number)
    assert (payment.state, payment.ask_due_at) == ("KEPT", None)


async def test_a_held_charge_that_the_gateway_forgets_needs_attention(world: World) -> None:
    """Also when it is to be given back: nobody may be told that nothing was taken."""
    kept, released = await world.place(), await world.place()
    await world.reconcile()
    world.pg.payments.clear()
    number = (await world.of(kept)).payment_id
    await world.release(released)
    await world.later(20)
    await world.notice(number, status="EXPIRED")
    for one in (number, (await world.of(released)).payment_id):
        for _ in range(8):
            await world.reconcile()
            await world.later(61)
        payment = await world.payment(one)
        assert (payment.state, payment.reason) == ("NEEDS_ATTENTION", "contradiction")
    assert world.heard.of(PaymentRefunded) == []
    assert world.orders.cancelled == []


async def test_what_needs_none_is_not_closed(world: World) -> None:
    paid = await world.pay()
    with pytest.raises(Conflict):
        await world.resolve(paid.id, "kept")
    with pytest.raises(NotFound):
        await world.resolve(new_id(), "kept")
    assert (await _log(world)).items == []


async def test_another_payment_of_the_order_waits_for_the_person(world: World) -> None:
    order_id = new_id()
    world.pg.always[("order", None)] = httpx.Response(200, json={})
    number = new_id()
    await world.pay(order_id, payment_id=number)
    await world.execute("UPDATE payments SET state = 'NEEDS_ATTENTION' WHERE payment_id = %s", number)
    with pytest.raises(Conflict, match="under way"):
        await world.pay(order_id)


async def test_payments_are_listed_by_status_page_by_page(world: World) -> None:
    paid = [await world.pay(amount=1_000) for _ in range(5)]
    await world.refund(paid[1].id, 1)
    await world.release(new_id())
    first = await _page(world, status="CAPTURED", limit=3)
    rest = await _page(world, status="CAPTURED", limit=3, after=first.next)
    assert [one.id for one in (*first.items, *rest.items)] == [paid[i].id for i in (0, 2, 3, 4)]
    assert rest.next is None
    [part] = (await _page(world, status="PARTLY_REFUNDED")).items
    assert (part.id, part.refunded, part.user_id) == (paid[1].id, 1, 7)
    for status in ("ASKING", "DECLINED", "REFUNDING", "REFUNDED", "NEEDS_ATTENTION", "KEPT"):
        assert (await _page(world, status=status)).items == []
    assert not any("key" in name for name in type(part).__struct_fields__)
