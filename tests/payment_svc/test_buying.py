"""Points bought with a card: credited once when it is charged, taken back as far as they are there."""

import asyncio
from uuid import UUID

import httpx
import pytest

from shared.errors import NotFound, RuleBroken
from shared.ids import new_id
from tests.payment_svc.fake_pg import LATE, error
from tests.payment_svc.world import ADMIN, World


async def _ledger(world: World) -> list[tuple[str, int]]:
    rows = await world.sql(
        "SELECT kind, delta FROM ledger WHERE kind NOT IN ('opening', 'grant') ORDER BY id"
    )
    return [(kind, delta) for kind, delta in rows]


async def _cancelled_at_the_pg(world: World, payment_id: UUID, amount: int | None = None) -> None:
    """The gateway gives a purchase back by itself, says so, and is asked."""
    world.pg.cancel(payment_id, amount)
    await world.later(20)
    await world.notice(payment_id)
    await world.reconcile()


async def test_what_was_charged_is_credited(world: World) -> None:
    await world.open_account()
    bought = await world.buy(1_000)
    assert (bought.status, bought.amount, bought.balance) == ("CAPTURED", 1_000, 1_000)
    payment = await world.payment(bought.payment_id)
    assert (payment.order_id, payment.attempt, payment.method) == (None, 0, "card")
    assert await world.sql("SELECT kind, delta, payment_id, order_id FROM ledger WHERE delta <> 0") == [
        ("charge", 1_000, str(bought.payment_id), None)
    ]
    assert world.heard.events == []
    await world.books_agree()


async def test_the_same_purchase_at_once_and_again_is_made_once(world: World) -> None:
    await world.open_account()
    number = new_id()
    outcomes = await asyncio.gather(*(world.buy(payment_id=number) for _ in range(6)))
    assert {one.payment_id for one in outcomes} == {number}
    assert (await world.buy(payment_id=number)).balance == 1_000
    assert await _ledger(world) == [("charge", 1_000)]
    for other in ({"amount": 999}, {"user_id": ADMIN}):
        with pytest.raises(RuleBroken, match="INTENT_USED"):
            await world.buy(payment_id=number, **other)
    await world.books_agree()


async def test_purchases_at_once_are_all_credited(world: World) -> None:
    await world.open_account()
    await asyncio.gather(*(world.buy(100 + number) for number in range(10)))
    assert await world.balance() == 1_045
    await world.books_agree()


async def test_a_declined_card_brings_nothing(world: World) -> None:
    await world.open_account()
    world.pg.always[("confirm", "pay_no")] = error(403, "REJECT_CARD_PAYMENT", "No funds.")
    number = new_id()
    for _ in range(2):
        with pytest.raises(RuleBroken, match="REJECT_CARD_PAYMENT"):
            await world.buy(payment_id=number, payment_key="pay_no")
    assert await world.balance() == 0
    assert await _ledger(world) == []


async def test_an_unknown_outcome_is_credited_by_the_job_once(world: World) -> None:
    await world.open_account()
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    bought = await world.buy()
    assert (bought.status, bought.balance) == ("ASKING", 0)
    assert (await world.buy(payment_id=bought.payment_id)).status == "ASKING"
    world.pg.arrive()
    await world.until(bought.payment_id, "HELD")
    await world.reconcile()
    assert (await world.buy(payment_id=bought.payment_id)).balance == 1_000
    assert await _ledger(world) == [("charge", 1_000)]
    await world.books_agree()


async def test_one_that_comes_after_it_was_given_up_goes_back_and_takes_no_points(world: World) -> None:
    """It never brought points, so there is nothing to take: those that are there were come by otherwise."""
    await world.open_account(points=5_000)
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    number = (await world.buy()).payment_id
    await world.later(61)
    world.pg.always[("confirm", None)] = httpx.ReadError("gone")
    await world.until(number, "REJECTED")
    world.pg.arrive()
    await world.later(600)
    await world.until(number, "RELEASED")
    assert (await world.balance(), world.pg.held()) == (5_000, {})
    assert await _ledger(world) == []
    await world.books_agree()


async def test_there_are_limits_and_there_is_an_account(world: World) -> None:
    world.set(points_charge_max=100, points_balance_max=150)
    with pytest.raises(NotFound):
        await world.buy(1)
    await world.open_account(points=60)
    for amount in (0, -1, 91, 101, 10**40):
        with pytest.raises(RuleBroken) as refused:
            await world.buy(amount)
        assert refused.value.errors[0].field == "amount"
    assert (await world.buy(90)).balance == 150
    assert world.pg.asked["confirm"] == 1


@pytest.mark.parametrize(("part", "left"), [(None, 0), (300, 700)])
async def test_one_cancelled_at_the_gateway_takes_its_points_back(
    world: World, part: int | None, left: int
) -> None:
    await world.open_account(points=50)
    number = (await world.buy(1_000)).payment_id
    await _cancelled_at_the_pg(world, number, part)
    payment = await world.payment(number)
    assert (payment.state, payment.refunded) == ("HELD" if part else "RELEASED", part or 1_000)
    assert await world.balance() == 50 + left
    assert await _ledger(world) == [("charge", 1_000), ("reversal", -(part or 1_000))]
    await _notice_again(world, number)
    assert await world.balance() == 50 + left
    assert world.orders.cancelled == []
    await world.books_agree()


async def _notice_again(world: World, payment_id: UUID) -> None:
    await world.later(20)
    await world.notice(payment_id)
    await world.reconcile()


async def test_points_that_were_spent_leave_the_rest_to_a_person(world: World) -> None:
    await world.open_account()
    number = (await world.buy(1_000)).payment_id
    await world.place(world.placed(800, pay_with="points"))
    await _cancelled_at_the_pg(world, number, 300)
    payment = await world.payment(number)
    assert (payment.state, payment.reason) == ("NEEDS_ATTENTION", "points_spent")
    assert payment.details["missing"] == 100
    await world.grant(50)
    await _cancelled_at_the_pg(world, number)
    payment = await world.payment(number)
    assert (payment.state, payment.details["missing"], payment.refunded) == ("NEEDS_ATTENTION", 750, 1_000)
    assert await world.balance() == 0
    assert await _ledger(world) == [
        ("charge", 1_000),
        ("capture", -800),
        ("reversal", -200),
        ("reversal", -50),
    ]
    closed = await world.resolve(number, "returned")
    assert (closed.status, closed.refunded) == ("REFUNDED", 1_000)
    await world.books_agree()


async def test_nothing_goes_below_zero_when_points_are_spent_and_taken_back_at_once(world: World) -> None:
    await world.open_account()
    number = (await world.buy(1_000)).payment_id
    world.pg.cancel(number)
    await world.later(20)
    await world.notice(number)
    orders = [world.placed(300, pay_with="points") for _ in range(4)]
    await asyncio.gather(world.reconcile(), *(world.place(order) for order in orders))
    payment, balance = await world.payment(number), await world.balance()
    spent = await world.sql("SELECT COALESCE(SUM(delta), 0) FROM ledger WHERE kind = 'capture'")
    missing = payment.details.get("missing", 0)
    assert balance >= 0
    assert balance - missing == int(spent[0][0])  # all 1,000 went back, or are missing
    await world.books_agree()


async def test_a_purchase_can_be_given_back_in_part_and_whole_by_an_admin(world: World) -> None:
    await world.open_account()
    number = (await world.buy(1_000)).payment_id
    assert (await world.refund(number, 400)).status == "PARTLY_REFUNDED"
    assert await world.balance() == 600
    assert (await world.refund(number)).status == "REFUNDED"
    assert await world.balance() == 0
    assert world.pg.held() == {}
    assert world.orders.cancelled == []
    await world.books_agree()
