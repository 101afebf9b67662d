"""Rows that somebody holds under a stream of orders: only those that touch them wait, and these end right."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from deploy.local.layout import Layout
from ops.demo.stage import Stage, shirts
from ops.shop import Order
from tests.shop.books import assert_balanced
from tests.support.held import rows_held

STOCK = 10_000
POINTS = 100_000_000


async def _stream(
    seconds: float, pace_s: float, order: Callable[[], Awaitable[Order]]
) -> list[tuple[float, Order]]:
    """An order each `pace_s`, whatever becomes of those before it: how long each took, and its end."""

    async def timed() -> tuple[float, Order]:
        began = time.monotonic()
        placed = await order()
        return time.monotonic() - began, placed

    orders: list[asyncio.Task[tuple[float, Order]]] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        orders.append(asyncio.create_task(timed()))
        await asyncio.sleep(pace_s)
    return await asyncio.gather(*orders)


async def _only_its_own_wait(shop: Layout, stage: Stage, seconds: float, per_s: int) -> None:
    buyers = [await stage.buyer(points=POINTS) for _ in range(4)]
    poor, free, held = await stage.buyer(points=POINTS), await stage.shirt(STOCK), await stage.shirt(STOCK)
    poor_id = await poor.user_id()

    async def of_others() -> Order:
        buyer = buyers[int(time.monotonic() * 1000) % len(buyers)]
        return await buyer.place([shirts(free)], pay_with="points", wait_s=10)

    async def of_the_held_item() -> Order:
        order = await buyers[0].place([shirts(held)], pay_with="points")
        return await buyers[0].until_settled(order.id, timeout_s=60)

    async def of_the_held_account() -> Order:
        order = await poor.place([shirts(free)], pay_with="points")
        return await poor.until_settled(order.id, timeout_s=60)

    lock_item = f"SELECT id FROM item_svc.items WHERE id = {held} FOR UPDATE"
    lock_account = f"SELECT user_id FROM payment_svc.accounts WHERE user_id = {poor_id} FOR UPDATE"
    async with asyncio.TaskGroup() as group, rows_held(shop.admin_url, lock_item, lock_account):
        streams = [
            group.create_task(_stream(seconds + 1, 1 / per_s, of_others)),
            group.create_task(_stream(seconds, 0.5, of_the_held_item)),
            group.create_task(_stream(seconds, 0.5, of_the_held_account)),
        ]
        await asyncio.sleep(seconds)
    others, *waiting = [stream.result() for stream in streams]
    assert {order.status for _, order in others} == {"COMPLETED"}
    assert max(took for took, _ in others) < 1.5
    ends = {(order.status, order.reason) for orders in waiting for _, order in orders}
    assert ends <= {("COMPLETED", None), ("CANCEL", "timeout")}
    sold = sum(order.status == "COMPLETED" for _, order in waiting[0])
    assert await stage.stock(held) == STOCK - sold
    await assert_balanced(shop)


async def test_a_held_item_and_a_held_account_harm_only_their_own_orders(shop: Layout, stage: Stage) -> None:
    await _only_its_own_wait(shop, stage, 2.0, 20)


@pytest.mark.long
async def test_rows_held_for_long_harm_only_their_own_orders(shop: Layout, stage: Stage) -> None:
    await _only_its_own_wait(shop, stage, 8.0, 50)
