"""Scenarios in which a part of the shop is stopped or killed while people buy."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local import fleet
from ops.demo.everyday import FIXED_PRICE, order
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import FIXED, Stage, shirts
from ops.shop import HeldCoupon, Line, Order, Session, persist

# Longer than an order's deadline of 30 s and, where the shop was away meanwhile, the one more it is given.
_DEADLINE_PATIENCE_S = 90.0


@asynccontextmanager
async def away(name: str) -> AsyncIterator[None]:
    """Stop a service or server; it is started again on the way out, whatever happened meanwhile."""
    await asyncio.to_thread(fleet.stop, name)
    try:
        yield
    finally:
        await asyncio.to_thread(fleet.start, name)


async def place_patiently(stage: Stage, buyer: Session, line: Line) -> Order:
    """As a careful client does: where the answer is lost, ask again under the same key."""
    key = stage.new_key()
    return await persist(lambda: buyer.place([line], key=key))


async def without_coupon_service(stage: Stage, record: Record) -> None:
    """What has nothing to do with coupons does not notice; what has is given up at its deadline."""
    buyer, item, untouched = await stage.buyer(), await stage.shirt(), await stage.shirt()
    coupons = await stage.coupons(buyer, FIXED)
    async with away("coupon"):
        await order(record, buyer, shirts(untouched))
        with record.step("accept with coupon"):
            placed = await buyer.place([shirts(item, discounted_price=FIXED_PRICE, coupons=coupons)])
        record.accepted(placed)
        with record.step("deadline"):
            failed = await buyer.until(
                placed.id, lambda seen: seen.status != "PENDING", timeout_s=_DEADLINE_PATIENCE_S
            )
        record.ended(failed)
        record.check(not failed.settled, "the order is settled although coupon cannot have answered")
        with record.step("stock back"):
            given_back = await buyer.until(placed.id, lambda seen: state(seen, "item") == "RELEASED")
        record.check(state(given_back, "item") == "RELEASED", "item has not given back its stock")
        record.check(await stage.stock(item) == 10, "the stock was not given back at the deadline")
    with record.step("after return"):
        settled = await buyer.until_settled(placed.id)
    record.ended(settled)
    record.check(await stage.stock(item) == 10, "the stock changed with the return")
    record.check(not any(coupon.used for coupon in await held(buyer)), "the coupon is used")


async def item_service_in_time(stage: Stage, record: Record) -> None:
    """The order waits for a service that comes back before the deadline."""
    buyer, item = await stage.buyer(), await stage.shirt()
    async with away("item"):
        with record.step("accept"):
            placed = await buyer.place([shirts(item)])
        record.accepted(placed)
        record.check(placed.status == "PENDING", f"the order is {placed.status} without the item service")
    with record.step("after return"):
        settled = await buyer.until_settled(placed.id)
    record.ended(settled)
    record.check(await stage.stock(item) == 9, "the stock did not fall from 10 to 9")


async def without_broker(stage: Stage, record: Record) -> None:
    """Calls go over HTTP, events wait in the outboxes."""
    buyer, item = await stage.buyer(), await stage.shirt()
    async with away("broker"):
        with record.step("accept three"):
            placed = await asyncio.gather(*(place_patiently(stage, buyer, shirts(item)) for _ in range(3)))
        for one in placed:
            record.accepted(one)
        record.check(
            all(one.status == "PENDING" for one in placed), "an order was decided without the broker"
        )
    with record.step("after return"):
        settled = await asyncio.gather(
            *(buyer.until_settled(one.id, timeout_s=_DEADLINE_PATIENCE_S) for one in placed)
        )
    record.ended(*settled)
    record.check(await stage.stock(item) == 7, "the stock did not fall from 10 to 7")


async def killed_before_publish(stage: Stage, record: Record) -> None:
    """The order service dies by SIGKILL after the commit: the outbox remembers what was not yet told."""
    buyer, item = await stage.buyer(), await stage.shirt()
    with tempfile.TemporaryDirectory(prefix="sagamart-demo-") as folder:
        marker = Path(folder) / "killed"
        crash = {"SHOP_CRASH_AT": "outbox.after_commit", "SHOP_CRASH_MARKER": str(marker)}
        await asyncio.to_thread(fleet.restart, "order", settings=crash)
        try:
            with record.step("accept"):
                placed = await place_patiently(stage, buyer, shirts(item))
            record.accepted(placed)
            record.check(marker.exists(), "the order service was not killed")
            with record.step("settle"):
                settled = await buyer.until_settled(placed.id, timeout_s=_DEADLINE_PATIENCE_S)
            record.ended(settled)
            record.check(await stage.stock(item) == 9, "the stock did not fall by exactly one order")
        finally:
            await asyncio.to_thread(fleet.restart, "order")


def state(order: Order, participant: str) -> str | None:
    """Where a participant stands, None if it is none."""
    return next((one.state for one in order.participants if one.name == participant), None)


async def held(buyer: Session) -> list[HeldCoupon]:
    """The buyer's coupons, also from a service that has only just come back."""
    return await persist(buyer.coupons)


FAULTS = (
    Scenario(
        "coupon service stopped: without coupon, with coupon, and once it is back",
        ("COMPLETED", "FAIL", "CANCEL"),
        ("timeout",),
        without_coupon_service,
        stops="coupon",
    ),
    Scenario(
        "item service stopped, back within the deadline",
        ("COMPLETED",),
        (),
        item_service_in_time,
        stops="item",
    ),
    Scenario("broker stopped while orders come in", ("COMPLETED",) * 3, (), without_broker, stops="broker"),
    Scenario(
        "order service killed between commit and publish",
        ("COMPLETED",),
        (),
        killed_before_publish,
        stops="order",
    ),
)
