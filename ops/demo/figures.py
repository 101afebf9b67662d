"""Scenarios of the read side: it is away while people buy, catches up, and takes back what is called off."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TypeVar

from ops.demo.everyday import order
from ops.demo.faults import away
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import SHIRT_PRICE, Stage, shirts
from ops.shop import Refused, Sales, Session, Timeline

T = TypeVar("T")

PIECES = 2
# Figures are remembered for some seconds at the door.
_PATIENCE_S = 20.0


async def figures_catch_up(stage: Stage, record: Record) -> None:
    """Nothing waits for the read side; it hears all it has missed, and its figures follow the orders."""
    buyer, item = await stage.buyer(points=200_000), await stage.shirt()
    before = await sales(stage)
    async with away("query"):
        bought = await order(record, buyer, shirts(item, PIECES), pay_with="points")
        record.check(bought.paid, "the order is not paid")
        record.check(
            await timeline_refused(buyer, bought.id) == 503, "the timeline is no 503 without its service"
        )
    with record.step("timeline"):
        timeline = await becomes(lambda: buyer.timeline(bought.id), lambda seen: seen.complete and seen.paid)
    record.check(told(timeline) == GOING, f"the timeline tells {told(timeline)}")
    with record.step("figures"):
        after = await becomes(lambda: sales(stage), lambda seen: seen.orders == before.orders + 1)
    record.check(
        (after.quantity - before.quantity, after.revenue - before.revenue) == (PIECES, PIECES * SHIRT_PRICE),
        f"the sales went from {before} to {after}",
    )
    await buyer.cancel(bought.id)
    with record.step("give back"):
        record.ended(await buyer.until(bought.id, lambda seen: seen.status == "CANCEL"))
    timeline = await becomes(
        lambda: buyer.timeline(bought.id), lambda seen: seen.status == "CANCEL" and seen.complete
    )
    back = {step.service for step in timeline.steps if step.backwards and step.outcome == "done"}
    record.check(back == {"item", "payment", "order"}, f"the timeline takes back {back}")
    with record.step("figures back"):
        last = await becomes(lambda: sales(stage), lambda seen: seen.orders == before.orders)
    record.check(
        (last.quantity, last.revenue, last.cancelled_orders - before.cancelled_orders)
        == (before.quantity, before.revenue, 1),
        f"the sales went from {before} to {last}",
    )


GOING = [
    ("order", "accept order"),
    ("item", "reserve stock"),
    ("payment", "take payment"),
    ("order", "complete order"),
    ("order", "confirm order"),
]


def told(timeline: Timeline) -> list[tuple[str, str]]:
    """What a timeline tells of services and their steps, but for notices to the buyer."""
    return [(step.service, step.name) for step in timeline.steps if step.service != "user"]


async def sales(stage: Stage) -> Sales:
    """The sales of these hours, all together."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    buckets = await stage.admin.sales(hour - timedelta(hours=1), hour + timedelta(hours=2))
    return Sales(
        orders=sum(one.orders for one in buckets),
        quantity=sum(one.quantity for one in buckets),
        revenue=sum(one.revenue for one in buckets),
        cancelled_orders=sum(one.cancelled_orders for one in buckets),
    )


async def timeline_refused(buyer: Session, order_id: str) -> int:
    """The status with which a timeline is refused, 0 if it is not."""
    try:
        await buyer.timeline(order_id)
    except Refused as refusal:
        return refusal.status
    return 0


async def becomes(look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """What is seen once it is as wanted, or at last; a service that is only just back is no answer."""
    give_up = monotonic() + _PATIENCE_S
    while True:
        try:
            seen = await look()
            if wanted(seen) or monotonic() > give_up:
                return seen
        except Refused as refusal:
            if refusal.status != 503 or monotonic() > give_up:
                raise
        await asyncio.sleep(0.1)


FIGURES = (
    Scenario(
        "query service stopped while one buys; timeline and sales catch up, and take back",
        ("COMPLETED", "CANCEL"),
        ("cancelled_by_buyer",),
        figures_catch_up,
        stops="query",
    ),
)
