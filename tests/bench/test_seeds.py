"""Old orders and a backlog, as the database makes them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from bench import seeds
from deploy.databases import connect
from deploy.local.layout import Layout
from order_svc.contracts import OrderPlaced
from order_svc.reading import of_orders
from order_svc.service import service
from order_svc.settings import OrderSettings
from order_svc.store import insert_orders
from shared.database.units import Database
from shared.events.outbox import Outbox
from tests.support.databases import Heard, fresh_database

LIKE = UUID("01a1fdb5-f5a8-7622-a618-af742128e0f8")
BUYER = 7
PLACED = OrderPlaced(
    order_id=LIKE,
    buyer_id=BUYER,
    lines=[],
    total=5,
    pay_with=None,
    payment_id=None,
    participants=["item", "coupon"],
    placed_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.fixture
async def orders(servers: Layout) -> AsyncIterator[Database]:
    """An order service's database with one order."""
    async with fresh_database("order_svc", service) as database:
        database.publish_through(Heard())
        await database.transaction(lambda tx: insert_orders(tx, [PLACED], OrderSettings()))
        yield database


async def counted(database: Database, sql: str) -> int:
    row = await database.read(lambda reader: reader.row(sql))
    assert row is not None
    return int(row[0])


async def seeded(at: Layout, database: Database, do: Callable[..., Any], *arguments: object) -> Any:
    row = await database.read(lambda reader: reader.row("SELECT DATABASE()"))
    assert row is not None

    def run() -> Any:
        with connect(at.admin_url) as connection:
            return do(connection, *arguments, database=row[0])

    return await asyncio.to_thread(run)


async def test_old_orders_are_whole_and_go_again(servers: Layout, orders: Database) -> None:
    await seeded(servers, orders, seeds.grow_orders, str(LIKE), 100)
    await seeded(servers, orders, seeds.grow_orders, str(LIKE), 250)  # more of them, beside those there are

    assert await counted(orders, "SELECT COUNT(*) FROM orders") == 251
    assert await counted(orders, "SELECT COUNT(*) FROM participants") == 2 * 251
    assert await counted(orders, "SELECT COUNT(*) FROM order_history") == 251
    assert await counted(orders, f"SELECT COUNT(*) FROM orders WHERE buyer_id = {BUYER}") == 1 + 2
    old = UUID("000000fa-0000-7000-8000-000000000000")
    seen = (await orders.read(lambda reader: of_orders(reader, [old])))[old]
    assert [one.name for one in seen.participants] == ["item", "coupon"]
    assert [entry.what for entry in seen.history] == ["ORDER_CREATED"]

    await seeded(servers, orders, seeds.forget_orders)
    assert await counted(orders, "SELECT COUNT(*) FROM orders") == 1
    assert await counted(orders, "SELECT COUNT(*) FROM participants") == 2


async def test_a_backlog_is_what_the_outbox_would_have_left(servers: Layout, orders: Database) -> None:
    await seeded(servers, orders, seeds.fill_outbox, 300, BUYER)
    assert await seeded(servers, orders, seeds.waiting) == 300
    backlog, _ = await Outbox("order", orders).backlog()
    assert backlog == 300
    assert (
        await counted(orders, "SELECT COUNT(DISTINCT id) FROM outbox WHERE type = 'order.completed'") == 300
    )
