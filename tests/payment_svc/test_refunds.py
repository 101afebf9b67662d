"""Refunds of card payments: in part and whole, by an admin and at the gateway itself."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from payment_svc import calls, cards
from payment_svc.contracts import ListAudit, PaymentPartlyRefunded, PaymentRefunded
from payment_svc.store import payments
from shared.errors import Conflict, NotFound, RuleBroken
from shared.ids import new_id
from tests.payment_svc.fake_pg import LATE, LOST, error
from tests.payment_svc.world import ADMIN, World, at_once


async def _told(world: World) -> list[tuple[int, int]]:
    return [(one.amount, one.refunded) for one in world.heard.of(PaymentPartlyRefunded)]


async def _audited(world: World) -> list[dict[str, Any]]:
    log = await world.db.read(lambda reader: calls.list_audit(ListAudit(), reader))
    assert all((one.action, one.by) == ("payment.refunded", ADMIN) for one in log.items)
    return [one.details for one in log.items]


async def test_parts_leave_the_order_as_it_is_and_its_release_gives_back_the_rest(world: World) -> None:
    paid = await world.pay(amount=1_000)
    assert paid.order_id is not None
    once = new_id()
    for _ in range(2):
        part = await world.refund(paid.id, 300, refund_id=once)
        assert (part.status, part.refunded) == ("PARTLY_REFUNDED", 300)
    await world.refund(paid.id, 200)
    await world.refund(paid.id, 300, refund_id=once)  # late, and long done
    assert await _told(world) == [(300, 300), (200, 500)]
    assert world.orders.cancelled == []
    assert len(await _audited(world)) == 2
    await world.books_agree()
    await world.release(paid.order_id)
    await world.until(paid.id, "RELEASED")
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [500]
    assert world.pg.held() == {}


async def test_more_than_is_left_is_refused_and_says_how_much_is(world: World) -> None:
    paid = await world.pay(amount=1_000)
    await world.refund(paid.id, 300)
    with pytest.raises(RuleBroken) as refused:
        await world.refund(paid.id, 701)
    assert refused.value.errors[0].field == "amount"
    assert "700" in refused.value.errors[0].message
    assert world.pg.held() == {str(paid.id): 700}
    assert len(await _audited(world)) == 1


@pytest.mark.parametrize("amount", [None, 700])
async def test_what_adds_up_to_the_whole_cancels_the_order(world: World, amount: int | None) -> None:
    paid = await world.pay(amount=1_000)
    await world.refund(paid.id, 300)
    once = new_id()
    for _ in range(2):  # the first may have died before it told the order
        await world.refund(paid.id, amount, refund_id=once)
    assert world.orders.cancelled == [paid.order_id] * 2
    assert world.pg.held() == {str(paid.id): 700}  # given back when the order asks for its release
    assert paid.order_id is not None
    await world.release(paid.order_id)
    await world.until(paid.id, "RELEASED")
    assert (await world.refund(paid.id, amount, refund_id=once)).status == "REFUNDED"
    assert [one["amount"] for one in await _audited(world)] == [700, 300]
    assert len(world.orders.cancelled) == 2


async def test_what_holds_nothing_is_not_refunded(world: World) -> None:
    world.pg.always[("confirm", "pay_no")] = error(403, "REJECT_CARD_PAYMENT")
    declined = new_id()
    with pytest.raises(RuleBroken):
        await world.pay(payment_id=declined, payment_key="pay_no")
    for amount in (None, 1):
        with pytest.raises(Conflict):
            await world.refund(declined, amount)
        with pytest.raises(NotFound):
            await world.refund(new_id(), amount)
    order_id = new_id()
    await world.release(order_id)  # a tombstone is nobody's payment
    with pytest.raises(NotFound):
        await world.refund((await world.of(order_id)).payment_id)
    assert await _audited(world) == []


async def test_one_that_is_asked_about_is_refunded_by_cancelling_its_order(world: World) -> None:
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    paid = await world.pay()
    with pytest.raises(Conflict):
        await world.refund(paid.id, 1)
    await world.refund(paid.id)
    assert world.orders.cancelled == [paid.order_id]
    assert len(await _audited(world)) == 1


@pytest.mark.parametrize("how", [LOST, LATE])
async def test_a_part_whose_outcome_is_unknown_is_given_back_once(world: World, how: str) -> None:
    paid = await world.pay(amount=1_000)
    world.pg.next("cancel", how, httpx.ReadError("gone"))
    first = new_id()
    unknown = await world.refund(paid.id, 300, refund_id=first)
    assert (unknown.status, unknown.refunded) == ("CAPTURED", 0)
    with pytest.raises(Conflict, match="300 is under way"):
        await world.refund(paid.id, 200)
    world.pg.arrive()
    await world.later(5)
    await world.reconcile()
    assert (await world.refund(paid.id, 300, refund_id=first)).refunded == 300
    assert world.pg.held() == {str(paid.id): 700}
    assert await _told(world) == [(300, 300)]
    await world.refund(paid.id, 200)
    assert world.pg.held() == {str(paid.id): 500}
    await world.books_agree()


async def test_an_error_that_the_gateway_remembers_is_not_asked_for_for_ever(world: World) -> None:
    """Its answer to an idempotency key stays the same, also where that was a passing error."""
    paid = await world.pay(amount=1_000)

    def remembered(request: httpx.Request) -> httpx.Response:
        anew = not request.headers["idempotency-key"].endswith("-0")
        return world.pg.done(request) if anew else error(400, "PROVIDER_ERROR")

    world.pg.always[("cancel", None)] = remembered
    await world.refund(paid.id, 300)
    for _ in range(cards.SAME_QUESTION + 1):
        await world.later(40)
        await world.reconcile()
    assert (await world.payment(paid.id)).refunded == 300
    await world.books_agree()


async def test_a_part_done_long_ago_is_not_done_again_under_another_key(world: World) -> None:
    paid = await world.pay(amount=1_000)
    world.pg.next("cancel", LOST, *([httpx.ReadError("gone")] * (2 * cards.SAME_QUESTION - 1)))
    await world.refund(paid.id, 300)
    for _ in range(cards.SAME_QUESTION + 1):
        await world.later(40)
        await world.reconcile()
    assert (await world.payment(paid.id)).refunded == 300
    assert world.pg.held() == {str(paid.id): 700}
    await world.books_agree()


async def test_a_refusal_of_the_gateway_is_told_and_the_next_refund_is_not_taken_for_it(
    world: World,
) -> None:
    paid = await world.pay(amount=1_000)
    refused_id = new_id()
    world.pg.next("cancel", error(403, "NOT_CANCELABLE_AMOUNT", "Not that much."))
    for _ in range(2):
        with pytest.raises(RuleBroken, match="NOT_CANCELABLE_AMOUNT"):
            await world.refund(paid.id, 300, refund_id=refused_id)
    kept = await world.payment(paid.id)
    assert (kept.state, kept.refunded, kept.refunding, kept.ask_due_at) == ("HELD", 0, 0, None)
    assert (await world.refund(paid.id, 200)).refunded == 200
    await world.books_agree()


async def test_parts_at_once_are_made_one_after_another_or_refused(world: World) -> None:
    paid = await world.pay(amount=1_000)
    outcomes = await at_once(*(world.refund(paid.id, 400) for _ in range(4)))
    assert set(outcomes) <= {"Conflict", "PaymentView", "RuleBroken"}
    refunded = (await world.payment(paid.id)).refunded
    assert refunded == 400 * outcomes.count("PaymentView")
    await world.books_agree()


async def test_the_same_part_at_once_is_made_once(world: World) -> None:
    paid = await world.pay(amount=1_000)
    once = new_id()
    await asyncio.gather(*(world.refund(paid.id, 400, refund_id=once) for _ in range(5)))
    assert world.pg.held() == {str(paid.id): 600}
    assert len(await _audited(world)) == 1
    await world.books_agree()


async def test_a_release_overtakes_a_part_and_gives_back_all(world: World) -> None:
    paid = await world.pay(amount=1_000)
    assert paid.order_id is not None
    world.pg.next("cancel", LATE, httpx.ReadError("gone"))
    await world.refund(paid.id, 300)
    await world.release(paid.order_id)
    world.pg.arrive()
    released = await world.until(paid.id, "RELEASED")
    assert (released.refunded, released.released, world.pg.held()) == (1_000, 1_000, {})
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [1_000]
    assert await _told(world) == []


async def _by_itself(world: World, payment_id: UUID, amount: int | None = None) -> None:
    world.pg.cancel(payment_id, amount)
    await world.later(20)
    await world.notice(payment_id)
    await world.reconcile()


async def test_a_part_cancelled_at_the_gateway_is_kept_as_such(world: World) -> None:
    paid = await world.pay(amount=20_000)
    for amount in (1_000, 500):
        await _by_itself(world, paid.id, amount)
    held = await world.payment(paid.id)
    assert (held.state, held.refunded, held.ask_due_at) == ("HELD", 1_500, None)
    assert await _told(world) == [(1_000, 1_000), (500, 1_500)]
    assert world.orders.cancelled == []
    assert world.pg.asked["cancel"] == 0
    await world.books_agree()


async def test_parts_of_both_that_add_up_cancel_the_order(world: World) -> None:
    paid = await world.pay(amount=1_000)
    await _by_itself(world, paid.id, 400)
    await world.refund(paid.id, 100)
    await _by_itself(world, paid.id)
    assert world.orders.cancelled[0] == paid.order_id
    assert paid.order_id is not None
    await world.release(paid.order_id)
    await world.until(paid.id, "RELEASED")
    assert [one.amount for one in world.heard.of(PaymentRefunded)] == [500]
    assert await _told(world) == [(400, 400), (100, 500)]


async def test_a_charge_found_late_with_a_part_gone_counts_it(world: World) -> None:
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    paid = await world.pay(amount=1_000)
    world.pg.arrive()
    world.pg.cancel(paid.id, 250)
    held = await world.until(paid.id, "HELD")
    assert held.refunded == 250
    assert await _told(world) == [(250, 250)]
    await world.books_agree()


async def test_a_part_that_the_gateway_was_asked_for_survives_who_asked(world: World) -> None:
    """It died before it asked, or before it wrote down: the job does it, under the same key."""
    paid = await world.pay(amount=1_000)
    with pytest.MonkeyPatch.context() as patch:

        async def dies(*_: object) -> None:
            raise RuntimeError("died")

        patch.setattr(cards, "settle", dies)
        with pytest.raises(RuntimeError, match="died"):
            await world.refund(paid.id, 300)
    begun = await world.payment(paid.id)
    assert (begun.refunding, begun.ask_due_at is not None) == (300, True)
    await world.later(60)
    await world.reconcile()
    assert (await world.payment(paid.id)).refunded == 300
    [due] = [await world.within(lambda tx: payments.take_due(tx, lease_s=1, limit=5, first=5))]
    assert due == []
    await world.books_agree()
