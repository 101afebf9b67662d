"""The job that asks the gateway: each payment by itself, once, by whichever replica is first."""

import asyncio
import time

import httpx
import pytest

from payment_svc import cards
from payment_svc.contracts import PaymentCaptured
from payment_svc.store import payments
from shared.errors import Unavailable
from tests.payment_svc.fake_pg import HANG
from tests.payment_svc.world import World
from tests.support.waiting import eventually


async def test_a_good_card_is_charged_within_a_second_while_150_others_hang(world: World) -> None:
    # A gateway that hangs keeps each of these busy for as long as the whole test takes.
    from payment_svc import pgs
    from payment_svc.pgs import toss

    patient = toss.Toss("http://pg.test", "secret", timeout_s=30.0, tries=1, transport=world.pg)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pgs, "adapter", lambda _: patient)
        await world.place(*(world.placed() for _ in range(150)))
        for (key,) in await world.sql("SELECT card_key FROM payments"):
            world.pg.always[("confirm", key)] = HANG
        job = asyncio.create_task(world.reconcile())
        try:

            async def hanging() -> int:
                return world.pg.asked["confirm"]

            await eventually(hanging, holds=lambda count: count == 150)
            begun = time.monotonic()
            good = await world.place()

            async def captured() -> bool:
                return good in {one.order_id for one in world.heard.of(PaymentCaptured)}

            await eventually(captured, within_s=5)
            assert time.monotonic() - begun < 1.0
            assert not job.done()
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)


async def test_what_hung_before_leaves_room_for_what_is_new(world: World) -> None:
    await world.place(*(world.placed() for _ in range(230)))
    await world.execute("UPDATE payments SET asks = 3")
    fresh = await world.place()
    taken = await world.within(
        lambda tx: payments.take_due(tx, lease_s=60, limit=cards.AT_ONCE, first=cards.AGAIN_AT_ONCE)
    )
    assert len(taken) == cards.AGAIN_AT_ONCE + 1
    assert taken[0].order_id == fresh
    assert taken[0].asks == 1


async def test_replicas_settle_each_payment_once(world: World) -> None:
    orders = [world.placed() for _ in range(30)]
    await world.place(*orders)
    await asyncio.gather(*(world.reconcile() for _ in range(4)))
    captured = [one.order_id for one in world.heard.of(PaymentCaptured)]
    assert sorted(captured) == sorted(one.order_id for one in orders)
    assert world.pg.asked == {"confirm": 30}
    await world.books_agree()


async def test_one_that_fails_keeps_no_other_and_is_tried_again_after_its_lease(world: World) -> None:
    broken, good = await world.pay(), await world.pay()
    world.pg.cancel(broken.id)
    world.pg.cancel(good.id, 100)
    await world.later(20)

    async def away(*_: object) -> None:
        raise Unavailable("The order service is away.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "call_off", away)
        for one in (broken, good):
            await world.notice(one.id)
        await world.later(1)
        await world.reconcile()
    assert (await world.payment(good.id)).refunded == 100
    waiting = await world.payment(broken.id)
    assert (waiting.state, waiting.ask_due_at is not None) == ("HELD", True)
    await world.later(60)
    await world.reconcile()
    assert world.orders.cancelled == [broken.order_id]


async def test_a_job_that_is_stopped_leaves_everything_to_the_next(world: World) -> None:
    world.pg.always[("confirm", None)] = HANG
    order_id = await world.place()
    job = asyncio.create_task(world.reconcile())
    await world.pg.is_asked("confirm")
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    payment = await world.of(order_id)
    assert (payment.state, payment.ask_due_at is not None) == ("ASKING", True)
    world.pg.always.clear()
    await world.until(payment.payment_id, "HELD")
    await world.books_agree()


async def test_no_buyer_s_key_stands_in_what_is_logged_or_told(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.pg.next("confirm", httpx.Response(500), httpx.ReadError("pay_secret broke"))
    paid = await world.pay(payment_key="pay_secret")
    await world.until(paid.id, "HELD")
    world.pg.next("cancel", httpx.Response(500), httpx.Response(200, text="pay_secret {"))
    await world.release(*[one.order_id for one in world.heard.of(PaymentCaptured)])
    await world.reconcile()
    await world.until(paid.id, "RELEASED")
    output = capsys.readouterr()
    assert "payment.moved" in output.out
    assert "pay_secret" not in f"{output.out}{output.err}{world.heard.events}"
