"""Looking at orders, listing and cancelling them, on a real database."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from order_svc import calls, events
from order_svc.contracts import (
    GetOrder,
    ListOrders,
    OrderFailed,
    OrderView,
    ReleaseItem,
)
from shared.clock import utc_now
from shared.database.units import Database
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from tests.order_svc.acts import (
    BUYER,
    a_completed_order,
    a_couponed_order,
    a_line,
    an_order,
    cancel,
    item_says_no,
    look,
    place,
    reserved,
    say,
    states,
)
from tests.support.databases import Heard


async def test_an_order_is_shown_to_its_buyer_and_to_admins(db: Database) -> None:
    order = await place(db, an_order())
    asked = [GetOrder(order_id=order.id, buyer_id=buyer) for buyer in (BUYER, None, BUYER + 1)]
    answers = await db.read(lambda r: calls.get_orders([*asked, GetOrder(order_id=new_id())], r))
    assert [type(answer) for answer in answers] == [OrderView, OrderView, NotFound, NotFound]


async def test_who_sees_an_order_settled_sees_the_rest_of_it_as_settled(db: Database) -> None:
    """The statements of one look see different moments; what is read after the status may only be newer."""
    for _ in range(15):
        order = await place(db, a_couponed_order())
        answers = (reserved(order.id), events.CouponApplied(order_id=order.id))

        async def watch(order_id: UUID = order.id) -> OrderView:
            while not (seen := await look(db, order_id)).settled:
                pass
            return seen

        seen, _ = await asyncio.gather(watch(), say(db, *answers))
        assert set(states(seen).values()) == {"YES"}
        assert seen.history[-1].what == "ORDER_COMPLETED"


async def test_pages_of_orders_go_from_the_newest_to_the_oldest(db: Database) -> None:
    mine = [(await place(db, an_order())).id for _ in range(7)]
    others = [(await place(db, an_order(buyer_id=BUYER + 1))).id for _ in range(3)]

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
    order = await place(db, an_order(a_line(item_id=1), a_line(item_id=2)))
    assert [line.name for line in order.lines] == [None, None]
    for name in ("Mug", "Cup"):
        await say(db, events.StockReserved(order_id=order.id, names={1: name, 2: "Plate"}))
    assert [line.name for line in (await look(db, order.id)).lines] == ["Mug", "Plate"]


async def test_orders_are_listed_by_status_and_time(db: Database) -> None:
    async def listed(**wanted: Any) -> list[UUID]:
        page = await db.read(lambda r: calls.list_orders(ListOrders(buyer_id=BUYER, **wanted), r))
        return [order.id for order in page.items]

    before = utc_now()
    done, waiting = await a_completed_order(db), (await place(db, an_order())).id
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
    order = await place(db, an_order())
    await say(db, reserved(order.id))
    first = await cancel(db, order.id)
    assert (first.status, first.settled, first.reason) == ("FAIL", False, "cancelled_by_buyer")
    assert await cancel(db, order.id) == first
    await say(db, events.StockReleased(order_id=order.id))
    done = await cancel(db, order.id, "admin", None)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "cancelled_by_buyer")
    assert len(heard.of(ReleaseItem)) == len(heard.of(OrderFailed)) == 1


async def test_cancelling_everywhere_at_once_cancels_once(db: Database, heard: Heard) -> None:
    order = await place(db, an_order())
    await say(db, reserved(order.id))
    answers = await asyncio.gather(*(cancel(db, order.id) for _ in range(6)))
    assert {answer.reason for answer in answers} == {"cancelled_by_buyer"}
    assert len(heard.of(ReleaseItem)) == 1


async def test_an_order_that_failed_by_itself_cannot_be_cancelled(db: Database) -> None:
    order = await place(db, an_order())
    await say(db, item_says_no(order.id))
    with pytest.raises(Conflict, match="out_of_stock"):
        await cancel(db, order.id)


async def test_nobody_cancels_what_is_not_his(db: Database) -> None:
    order = await place(db, an_order())
    for order_id, buyer in ((order.id, BUYER + 1), (new_id(), BUYER), (new_id(), None)):
        with pytest.raises(NotFound):
            await cancel(db, order_id, "buyer", buyer)
    assert (await cancel(db, order.id, "admin", None)).reason == "cancelled_by_admin"
