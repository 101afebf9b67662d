"""Notices and the gateway's own list are hints to ask: paced, not believed, and they put nothing off."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog.testing

from payment_svc.contracts import PaymentCaptured, TakeNotice
from payment_svc.store import payments
from shared.clock import utc_now
from shared.ids import new_id
from tests.payment_svc.fake_pg import LATE
from tests.payment_svc.world import PRICE, World


async def _due_in_s(world: World, payment_id: UUID) -> float | None:
    due = (await world.payment(payment_id)).ask_due_at
    return None if due is None else round((due - utc_now()).total_seconds(), 1)


async def _paid_long_ago(world: World, count: int = 1) -> list[UUID]:
    paid = await asyncio.gather(*(world.pay() for _ in range(count)))
    await world.later(60)
    world.pg.asked.clear()
    return [one.id for one in paid]


async def test_a_notice_has_the_gateway_asked_at_once_and_says_nothing_itself(world: World) -> None:
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    paid = await world.pay()
    world.pg.arrive()
    await world.later(10)
    await world.execute("UPDATE payments SET ask_due_at = %s", utc_now() + timedelta(seconds=30))
    await world.notice(paid.id, status="CANCELED")  # not true: the gateway says that it is charged
    await world.reconcile()
    assert (await world.payment(paid.id)).state == "HELD"
    assert len(world.heard.of(PaymentCaptured)) == 1
    assert world.orders.cancelled == []


FORGED: list[dict[str, Any]] = [
    {"headers": {}, "body": ""},
    {"headers": {}, "body": "not json"},
    {"headers": {"tosspayments-webhook-signature": "v1:AAAA"}, "body": '{"orderId": "x"}'},
    {"headers": {}, "body": '{"orderId": "0190a6a1-0000-7000-8000-000000000001"}'},
    {"headers": {}, "body": '{"data": {"orderId": "\\u0000"}}'},
    {"headers": {"x": "y" * 10_000}, "body": '{"data": {"orderId": "' + "9" * 100_000 + '"}}'},
]


@pytest.mark.parametrize("fields", FORGED)
async def test_a_forged_notice_costs_no_row_and_no_log_line(world: World, fields: dict[str, Any]) -> None:
    await world.place()
    before = await world.sql("SELECT * FROM payments")
    with structlog.testing.capture_logs() as logs:
        await world.take(TakeNotice(**fields))
    assert logs == []
    assert await world.sql("SELECT * FROM payments") == before
    assert await world.sql("SELECT * FROM notice_pace") == []
    assert world.pg.requests == []


async def test_many_notices_of_one_payment_are_one_question_in_ten_seconds(world: World) -> None:
    [number] = await _paid_long_ago(world)
    await asyncio.gather(*(world.notice(number, status="CANCELED") for _ in range(20)))
    await world.reconcile()
    assert world.pg.asked == {"order": 1}
    await asyncio.gather(*(world.notice(number, status="CANCELED") for _ in range(20)))
    await world.reconcile()
    assert world.pg.asked == {"order": 1}
    assert 9 <= (await _due_in_s(world, number) or 0) <= 10
    await world.later(10)
    await world.reconcile()
    assert world.pg.asked == {"order": 2}


async def test_notices_of_many_payments_are_five_questions_a_second(world: World) -> None:
    numbers = await _paid_long_ago(world, 20)
    await asyncio.gather(*(world.notice(number, status="ABORTED") for number in numbers for _ in range(5)))
    dues = [due for (due,) in await world.sql("SELECT ask_due_at FROM payments ORDER BY ask_due_at")]
    assert len(dues) == len(numbers)
    pauses = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(dues)]
    assert min(pauses) >= 0.2
    assert sum(pauses) < 4.5


async def test_notices_of_payments_just_looked_at_keep_the_pace_too(world: World) -> None:
    paid = [await world.pay() for _ in range(10)]
    for one in paid:
        await world.notice(one.id, status="CANCELED")
    assert (await _due_in_s(world, paid[0].id) or 0) > 9
    first, *_, last = [
        due for (due,) in await world.sql("SELECT ask_due_at FROM payments ORDER BY payment_id")
    ]
    assert (last - first).total_seconds() >= 1.7


async def test_a_notice_puts_nothing_off_and_takes_one_turn(world: World) -> None:
    """A flood has let the turns run an hour ahead: what waits is asked about when it would be anyway."""
    asking = (await world.of(await world.place())).payment_id
    [resting] = await _paid_long_ago(world)
    await world.execute(
        "UPDATE payments SET ask_due_at = %s WHERE state = 'ASKING'", utc_now() + timedelta(seconds=25)
    )
    await world.execute(
        "INSERT INTO notice_pace (id, next_at) VALUES (1, %s)", utc_now() + timedelta(hours=1)
    )
    await world.notice(asking)
    assert 24 <= (await _due_in_s(world, asking) or 0) <= 25
    await world.notice(resting, status="CANCELED")
    due = await _due_in_s(world, resting)
    [turn] = await world.sql("SELECT next_at FROM notice_pace")
    for _ in range(3):
        await world.notice(resting, status="CANCELED")
    assert abs((await _due_in_s(world, resting) or 0) - (due or 0)) < 0.5
    assert await world.sql("SELECT next_at FROM notice_pace") == [turn]


async def test_what_is_known_already_has_nobody_asked(world: World) -> None:
    [number] = await _paid_long_ago(world)
    await world.notice(number)
    assert await _due_in_s(world, number) is None
    await world.catch_up()
    assert await _due_in_s(world, number) is None


async def test_what_a_notice_tells_of_points_and_declined_cards_is_nothing(world: World) -> None:
    await world.open_account(points=100)
    by_points = await world.pay(amount=10, method="points")
    await world.notice(by_points.id)
    assert await _due_in_s(world, by_points.id) is None


async def test_the_list_tells_what_no_notice_did(world: World) -> None:
    unnoticed, quiet, partly = await _paid_long_ago(world, 3)
    world.pg.cancel(unnoticed)
    world.pg.cancel(partly, 100)
    world.pg.charge("not-a-number-of-ours", "pay_x", 5)
    world.pg.charge(new_id(), "pay_y", 5)
    await world.catch_up()
    await world.reconcile()
    assert world.pg.asked["order"] >= 2
    assert world.orders.cancelled == [(await world.payment(unnoticed)).order_id]
    assert (await world.payment(partly)).refunded == 100
    assert await _due_in_s(world, quiet) is None
    assert await world.sql("SELECT * FROM notice_pace") == []  # the gateway itself is believed to be no flood
    await world.execute("UPDATE payments SET state = 'RELEASING' WHERE payment_id = %s", unnoticed)
    await world.until(unnoticed, "RELEASED")


async def test_the_list_is_not_asked_about_again_and_again(world: World) -> None:
    """A part that went back long ago says nothing of one that did just now: it is looked at, not for ever."""
    number, _ = await _paid_long_ago(world, 2)
    for amount in (500, 300):
        world.pg.cancel(number, amount)
        await world.catch_up()
        await world.reconcile()
        await world.later(700)
    assert (await world.payment(number)).refunded == 800
    world.pg.cancel(number, 1)
    for _ in range(3):
        await world.catch_up()
        await world.reconcile()
        await world.later(61)
    assert (await world.payment(number)).refunded == 801
    world.pg.asked.clear()
    await world.catch_up()
    await world.reconcile()
    assert world.pg.asked == {"transactions": 1}


async def test_what_happens_within_the_second_of_our_own_writing_is_found(world: World) -> None:
    """The gateway tells whole seconds, by its own clock."""
    paid = await world.pay()
    world.pg.cancel(paid.id, 100)
    world.pg.later(3)
    world.pg.entries[-1]["transactionAt"] = world.pg.entries[-1]["transactionAt"][:19] + "+09:00"
    await world.catch_up()
    await world.later(10)
    await world.reconcile()
    assert (await world.payment(paid.id)).refunded == 100


async def test_a_charge_that_was_given_up_is_found_in_the_list_and_goes_back(world: World) -> None:
    world.pg.next("confirm", LATE, httpx.ReadError("gone"))
    paid = await world.pay()
    await world.later(61)
    world.pg.always[("confirm", None)] = httpx.ReadError("gone")
    await world.until(paid.id, "REJECTED")
    await world.later(60)
    world.pg.arrive()
    await world.catch_up()
    await world.reconcile()
    released = await world.until(paid.id, "RELEASED")
    assert (released.refunded, world.pg.held()) == (PRICE, {})


async def test_without_cards_there_is_no_list_and_without_a_list_nothing_happens(world: World) -> None:
    await world.catch_up()
    assert world.pg.requests == []
    await _paid_long_ago(world)
    world.pg.always[("transactions", None)] = httpx.Response(503)
    await world.catch_up()
    assert await world.within(lambda tx: payments.take_due(tx, lease_s=1, limit=9, first=9)) == []
