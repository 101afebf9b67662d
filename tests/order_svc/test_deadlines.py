"""Deadlines that pass, on a real database."""

import asyncio
from datetime import timedelta

from order_svc import calls, events
from order_svc.contracts import (
    OrderCompleted,
    OrderFailed,
    OrderView,
    ReleaseCoupon,
    ReleaseItem,
)
from shared.clock import utc_now
from shared.database.units import Database
from shared.events.outbox import Outbox
from tests.order_svc.acts import (
    SETTINGS,
    a_completed_order,
    a_couponed_order,
    an_order,
    deadline_of,
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


async def test_an_order_whose_deadline_passed_fails_and_everything_is_asked_back(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order, done = await place(db, a_couponed_order()), await place(db, an_order())
    await say(db, events.CouponApplied(order_id=order.id), reserved(done.id))
    await sweep(db, outbox, after_s=29)
    assert (await look(db, order.id)).status == "PENDING"
    await sweep(db, outbox, after_s=31)
    failed = await look(db, order.id)
    assert (failed.status, failed.reason, failed.reason_details) == ("FAIL", "timeout", {"silent": ["item"]})
    assert set(states(failed).values()) == {"RELEASING"}
    assert len(heard.of(ReleaseItem)) == len(heard.of(ReleaseCoupon)) == 1
    assert await deadline_of(db, order.id) is None
    assert (await look(db, done.id)).status == "COMPLETED"
    await sweep(db, outbox, after_s=100)
    assert len(heard.of(OrderFailed)) == 1


async def test_the_silent_of_a_failed_order_are_asked_back_at_its_deadline(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order = await place(db, a_couponed_order())
    await say(db, item_says_no(order.id))
    assert await deadline_of(db, order.id) is not None
    await sweep(db, outbox, after_s=31)
    assert heard.of(ReleaseCoupon) == [ReleaseCoupon(order_id=order.id)]
    await say(db, events.CouponReleased(order_id=order.id))
    done = await look(db, order.id)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "out_of_stock")


async def test_nothing_fails_while_the_broker_is_away(db: Database, heard: Heard, outbox: Outbox) -> None:
    order = await place(db, an_order())
    outbox.connected_since = None
    await sweep(db, outbox, after_s=500)
    assert (await look(db, order.id)).status == "PENDING"


async def test_an_order_found_due_just_after_connecting_is_given_one_more_deadline(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    order = await place(db, an_order())
    outbox.connected_since = utc_now() + timedelta(seconds=90)
    await sweep(db, outbox, after_s=100)
    assert (await look(db, order.id)).status == "PENDING"
    await sweep(db, outbox, after_s=129)
    assert (await look(db, order.id)).status == "PENDING"
    await sweep(db, outbox, after_s=131)
    assert (await look(db, order.id)).reason == "timeout"


async def test_an_order_not_yet_published_is_given_one_more_deadline(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    db.publish_through(outbox)  # no exchange: rows stay in the table
    waiting = [await place(db, an_order()) for _ in range(2)]
    db.publish_through(heard)
    gone = await place(db, an_order())
    await sweep(db, outbox, after_s=31)
    assert [(await look(db, order.id)).status for order in (*waiting, gone)] == [
        "PENDING",
        "PENDING",
        "FAIL",
    ]
    await db.transaction(lambda tx: tx.execute("DELETE FROM outbox"))
    await sweep(db, outbox, after_s=60)
    assert {(await look(db, order.id)).status for order in waiting} == {"PENDING"}
    await sweep(db, outbox, after_s=62)
    assert {(await look(db, order.id)).reason for order in waiting} == {"timeout"}


async def test_several_sweeps_at_once_fail_each_order_once(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    ids = [(await place(db, an_order())).id for _ in range(30)]
    await asyncio.gather(*(sweep(db, outbox, after_s=31) for _ in range(4)))
    await sweep(db, outbox, after_s=31)
    assert sorted(told.order_id for told in heard.of(OrderFailed)) == sorted(ids)
    assert len(heard.of(ReleaseItem)) == 30


async def test_sweep_and_answers_at_once_leave_every_order_either_done_or_failed(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    ids = [(await place(db, an_order())).id for _ in range(20)]
    await asyncio.gather(
        sweep(db, outbox, after_s=31),
        say(db, *(reserved(one) for one in ids[:10])),
        say(db, *(reserved(one) for one in ids[5:15])),
    )
    await sweep(db, outbox, after_s=31)
    completed = {told.order_id for told in heard.of(OrderCompleted)}
    failed = {told.order_id for told in heard.of(OrderFailed)}
    assert completed | failed == set(ids)
    assert not completed & failed
    assert {told.order_id for told in heard.of(ReleaseItem)} == failed


async def test_a_link_that_comes_and_goes_holds_an_order_up_once(db: Database, outbox: Outbox) -> None:
    """The link comes back every 20 s, so that the order is always found due just after it did."""
    order, completed = await place(db, an_order()), await a_completed_order(db)
    ended = {}
    for second in range(0, 2000, 5):
        outbox.connected_since = utc_now() + timedelta(seconds=second - second % 20)
        await sweep(db, outbox, after_s=second)
        for order_id in (order.id, completed):
            if (await look(db, order_id)).status == "FAIL":
                ended.setdefault(order_id, second)
    assert ended[order.id] <= 2 * SETTINGS.order_deadline_s + 5
    assert ended[completed] <= SETTINGS.order_unpaid_s + SETTINGS.order_deadline_s + 5


async def test_an_order_that_never_gets_published_is_held_up_once(db: Database, outbox: Outbox) -> None:
    db.publish_through(outbox)
    order = await place(db, an_order())
    await sweep(db, outbox, after_s=31)
    await sweep(db, outbox, after_s=60)
    assert (await look(db, order.id)).status == "PENDING"
    await sweep(db, outbox, after_s=62)
    assert (await look(db, order.id)).reason == "timeout"


async def test_no_order_fails_while_nothing_can_be_published_however_long_that_is(
    db: Database, heard: Heard, outbox: Outbox
) -> None:
    db.publish_through(outbox)
    order = await place(db, an_order())
    for second in range(30, 4000, 30):
        outbox.connected_since = None
        await sweep(db, outbox, after_s=second)
    assert (await look(db, order.id)).status == "PENDING"
    outbox.connected_since = utc_now() + timedelta(seconds=4000)
    await sweep(db, outbox, after_s=4001)
    await db.execute("DELETE FROM outbox")
    await say(db, reserved(order.id))
    assert (await look(db, order.id)).status == "COMPLETED"


async def test_the_time_for_an_outage_is_given_to_each_order_of_a_list(db: Database, outbox: Outbox) -> None:
    first = await place(db, an_order())
    outbox.connected_since = utc_now() + timedelta(seconds=25)
    await sweep(db, outbox, after_s=31)
    second = await later(db, 30, lambda tx: calls.place_orders([an_order()], tx, SETTINGS))
    outbox.connected_since = utc_now() + timedelta(seconds=55)
    await sweep(db, outbox, after_s=62)
    ids = [first.id, *(one.id for one in second if isinstance(one, OrderView))]
    assert [(await look(db, order_id)).status for order_id in ids] == ["FAIL", "PENDING"]
    await sweep(db, outbox, after_s=84)
    assert [(await look(db, order_id)).status for order_id in ids] == ["FAIL", "PENDING"]
    await sweep(db, outbox, after_s=93)
    assert {(await look(db, order_id)).reason for order_id in ids} == {"timeout"}
