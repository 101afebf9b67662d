"""Asking again for what was not given back, on a real database."""

import asyncio

import msgspec

from order_svc import calls, events, sweeps
from order_svc.contracts import (
    CancelOrder,
    ReleaseCoupon,
    ReleaseItem,
)
from shared.database.units import Database
from shared.events.outbox import Outbox
from tests.order_svc.acts import (
    BUYER,
    SETTINGS,
    a_completed_order,
    a_couponed_order,
    an_order,
    cancel,
    item_says_no,
    later,
    look,
    place,
    reserved,
    say,
    states,
    sweep,
)
from tests.support.databases import Heard


async def _ask_again(db: Database, *, after_s: float) -> None:
    await later(db, after_s, lambda tx: sweeps.release_again(tx, SETTINGS))


async def test_an_unanswered_release_is_sent_again_ever_more_slowly(db: Database, heard: Heard) -> None:
    order = await place(db, a_couponed_order())
    await say(db, events.CouponApplied(order_id=order.id))
    await say(db, item_says_no(order.id))
    asked = []
    for second in range(0, 160, 5):
        before = len(heard.of(ReleaseCoupon))
        await _ask_again(db, after_s=second)
        if len(heard.of(ReleaseCoupon)) > before:
            asked.append(second)
    # 10 s after the first, then 20, 40 and 80 s after the one before.
    assert asked == [10, 30, 70, 150]
    await say(db, events.CouponReleased(order_id=order.id))
    sent = len(heard.of(ReleaseCoupon))
    await _ask_again(db, after_s=10_000)
    assert len(heard.of(ReleaseCoupon)) == sent


async def test_the_pause_between_releases_has_a_bound(db: Database, heard: Heard) -> None:
    order = await place(db, an_order())
    await cancel(db, order.id)
    await say(db, reserved(order.id))
    for round_ in range(1, 30):
        await _ask_again(db, after_s=round_ * 601)
    assert len(heard.of(ReleaseItem)) == 30


async def test_a_release_sent_again_is_a_new_event(db: Database, outbox: Outbox) -> None:
    db.publish_through(outbox)
    order = await place(db, a_couponed_order())
    await say(db, events.CouponApplied(order_id=order.id))
    await say(db, item_says_no(order.id))
    await _ask_again(db, after_s=11)
    bodies = await db.read(lambda r: r.rows("SELECT body FROM outbox WHERE type = 'order.release.coupon'"))
    sent = [event for (body,) in bodies for event in msgspec.json.decode(body)]
    assert [event["subject"] for event in sent] == [str(order.id)] * 2
    assert len({event["id"] for event in sent}) == 2


async def test_several_sweeps_at_once_ask_again_once(db: Database, heard: Heard) -> None:
    ids = [(await place(db, an_order())).id for _ in range(10)]
    await say(db, *(reserved(one) for one in ids))
    for one in ids:
        await cancel(db, one)
    assert len(heard.of(ReleaseItem)) == 10
    await asyncio.gather(*(_ask_again(db, after_s=11) for _ in range(4)))
    await _ask_again(db, after_s=11)
    assert len(heard.of(ReleaseItem)) == 20


async def test_an_answer_that_comes_too_late_is_kept_in_the_history_and_delays_nothing(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order = await place(db, an_order())
    await sweep(db, outbox, after_s=31)
    await later(db, 39, lambda tx: events.hear_answers([reserved(order.id)], tx, SETTINGS))
    failed = await look(db, order.id)
    assert states(failed) == {"item": "RELEASING"}
    assert (failed.history[-1].what, failed.history[-1].details) == ("STOCK_DEDUCTED", {"ignored": True})
    await _ask_again(db, after_s=42)
    assert len(heard.of(ReleaseItem)) == 2


async def test_a_repeated_cancel_has_what_is_not_given_back_asked_for_soon(
    db: Database, heard: Heard
) -> None:
    order_id = await a_completed_order(db)
    await cancel(db, order_id)
    for round_ in range(1, 12):
        await _ask_again(db, after_s=round_ * 601)
    sent, version = len(heard.of(ReleaseItem)), (await look(db, order_id)).version
    call = CancelOrder(order_id=order_id, by="buyer", buyer_id=BUYER)
    await later(db, 6612, lambda tx: calls.cancel_order(call, tx, SETTINGS))
    await _ask_again(db, after_s=6621)
    assert len(heard.of(ReleaseItem)) == sent
    await _ask_again(db, after_s=6623)
    assert len(heard.of(ReleaseItem)) == sent + 1
    assert (await look(db, order_id)).version == version
    await say(db, events.StockReleased(order_id=order_id))
    await cancel(db, order_id)
    await _ask_again(db, after_s=10_000)
    assert len(heard.of(ReleaseItem)) == sent + 1
