"""Scenarios of following things: an order's changes as they come, polling, points and stock by the entry."""

import asyncio
from typing import Any

import msgspec

from ops.demo.everyday import order
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import SHIRT_PRICE, Stage, shirts
from ops.shop import Refused, Session

LIFE = [
    "ORDER_CREATED",
    "STOCK_DEDUCTED",
    "PAYMENT_COMPLETED",
    "ORDER_COMPLETED",
    "ORDER_CONFIRMED",
    "ORDER_FAILED",
    "STOCK_RESTORED",
    "PAYMENT_REFUNDED",
    "ORDER_CANCELLED",
]


async def followed(stage: Stage, record: Record) -> None:
    """A buyer follows an order from its placing to its cancellation; the stream ends with the order."""
    buyer, item = await stage.buyer(points=SHIRT_PRICE), await stage.shirt()
    completed = await order(record, buyer, shirts(item), pay_with="points")
    stream = asyncio.create_task(buyer.send("GET", f"/orders/{completed.id}/events"))
    await buyer.cancel(completed.id)
    with record.step("follow to the end"):
        text = (await asyncio.wait_for(stream, 30)).text
    record.ended(await buyer.order(completed.id))
    told = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    record.check([one for one in LIFE if one not in told] == [], f"the stream told {told}")
    ids = [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]
    record.check(ids == list(range(1, len(ids) + 1)), f"the changes are numbered {ids}")
    rest = await buyer.send("GET", f"/orders/{completed.id}/events", headers={"Last-Event-ID": str(ids[-2])})
    record.check(rest.text.count("event: ") == 1, "coming back told more or less than what was missed")


async def polled(stage: Stage, record: Record) -> None:
    """An order is asked for again with its ETag: nothing is sent until it has changed."""
    buyer, item = await stage.buyer(points=SHIRT_PRICE), await stage.shirt()
    placed = await order(record, buyer, shirts(item))
    path = f"/orders/{placed.id}"
    tag = {"If-None-Match": (await buyer.send("GET", path)).headers["ETag"]}
    again = await buyer.send("GET", path, headers=tag)
    record.check((again.status_code, again.content) == (304, b""), f"it answers {again.status_code}")
    await buyer.pay(placed.id, "points")
    await buyer.until(placed.id, lambda seen: seen.paid)
    changed = await buyer.send("GET", path, headers=tag)
    record.check(changed.status_code == 200, f"once it is paid it answers {changed.status_code}")
    mine = await _items(buyer, "/orders", {"status": "COMPLETED"})
    record.check([one["id"] for one in mine] == [placed.id], "the list of completed orders is another")
    record.check(
        await _items(buyer, "/orders", {"status": "FAIL"}) == [], "the list of failed ones is not empty"
    )


async def points_by_entry(stage: Stage, record: Record) -> None:
    """Points are charged once for a key, never spent below zero, and every movement can be looked up."""
    buyer, item, key = await stage.buyer(), await stage.shirt(), stage.new_key()
    for _ in range(2):
        await buyer.charge_points(SHIRT_PRICE, key)
    with record.step("spend twice at once"):
        ends = await asyncio.gather(
            *(buyer.place([shirts(item)], pay_with="points", wait_s=20) for _ in range(2))
        )
    record.ended(*sorted(ends, key=lambda end: end.status, reverse=True))
    entries = await _items(buyer, "/points/history", {})
    moved = [(entry["kind"], entry["delta"], entry["balance"]) for entry in reversed(entries)]
    due = [("opening", 0, 0), ("charge", SHIRT_PRICE, SHIRT_PRICE), ("capture", -SHIRT_PRICE, 0)]
    record.check(moved == due, f"the history is {moved}")


async def stock_by_entry(stage: Stage, record: Record) -> None:
    """Every change of a stock has its cause: a delivery, a sale, and what came back from it."""
    buyer, item = await stage.buyer(), await stage.shirt(stock=1)
    await stage.admin.adjust_stock(item, 4, "delivery")
    sold = await order(record, buyer, shirts(item, 3))
    await buyer.cancel(sold.id)
    record.ended(await buyer.until(sold.id, lambda seen: seen.status == "CANCEL"))
    changes = await _items(stage.admin, f"/items/{item}/stock-history", {})
    moved = [(change["cause"], change["delta"], change["balance"]) for change in reversed(changes)]
    due = [("initial", 1, 1), ("adjustment", 4, 5), ("order", -3, 2), ("release", 3, 5)]
    record.check(moved == due, f"the history is {moved}")
    try:
        await stage.admin.adjust_stock(item, -6, "lost")
    except Refused as refusal:
        record.check(refusal.status == 422, f"taking more than there is answers {refusal.status}")
    else:
        record.check(False, "more was taken than there was")


async def _items(session: Session, path: str, query: dict[str, str | int]) -> list[Any]:
    """The first page of a list."""
    return msgspec.json.decode((await session.send("GET", path, query=query)).content)["items"]


FOLLOWING = (
    Scenario("followed as it comes", ("COMPLETED", "CANCEL"), ("cancelled_by_buyer",), followed),
    Scenario("asked for with its ETag", ("COMPLETED",), (), polled),
    Scenario(
        "points for one order, spent on two",
        ("COMPLETED", "CANCEL"),
        ("insufficient_points",),
        points_by_entry,
    ),
    Scenario("every change of a stock", ("COMPLETED", "CANCEL"), ("cancelled_by_buyer",), stock_by_entry),
)
