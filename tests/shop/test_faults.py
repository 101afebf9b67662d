"""Whatever is killed, whenever: no order stays stuck, and the books balance. Under load, over HTTP."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import msgspec
import pytest

from deploy.local import fleet
from deploy.local.broker_users import amqp_url_for
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from ops.demo.stage import Stage, shirts
from ops.letters import DeadLetters
from ops.shop import persist
from query_svc.dead_letters.contracts import DeadLetterGroup
from shared import crash
from shared.clock import utc_now
from shared.events.cloudevents import CONTENT_TYPE, CloudEvent, batch, encode
from tests.shop.books import assert_balanced, dead_letters
from tests.shop.crowd import Crowd, crowd
from tests.support.waiting import eventually

DYING = ("order", "item", "coupon", "payment")
ALL = ("user", *DYING, "query", "gateway")


@pytest.fixture(autouse=True)
async def _balanced(shop: Layout, stage: Stage) -> AsyncIterator[None]:
    """After each of these: everything is ready again, an order completes, and the books balance."""
    yield
    await asyncio.gather(*(asyncio.to_thread(fleet.await_ready, name) for name in ALL))
    await _completes(stage)
    await assert_balanced(shop)


async def _completes(stage: Stage) -> None:
    buyer, item = await stage.buyer(points=1_000_000), await stage.shirt(1)
    order = await buyer.place([shirts(item)], pay_with="points", wait_s=20)
    assert (order.status, order.reason) == ("COMPLETED", None)


async def _restart_all(names: tuple[str, ...], settings: Any = None) -> None:
    await asyncio.gather(
        *(
            asyncio.to_thread(fleet.restart, name, settings=settings(name) if settings else None)
            for name in names
        )
    )


def _some_completed(buying: Crowd) -> None:
    """A shop that fails everything keeps its books, too."""
    assert buying.outcomes["COMPLETED"] >= len(buying.ends) // 4, buying.outcomes


@pytest.mark.parametrize("point", crash.AT_WORK)
async def test_every_service_killed_at(point: str, stage: Stage, tmp_path: Path) -> None:
    """SIGKILL at the same named point of order, item, coupon and payment, each once, while people buy."""

    async def deaths() -> set[str]:
        return set(await asyncio.to_thread(os.listdir, tmp_path))

    async with crowd(stage) as buying:
        # Only now: an item made on stage is an event too, and would be what a service dies of.
        await _restart_all(
            DYING, lambda name: {"SHOP_CRASH_AT": point, "SHOP_CRASH_MARKER": str(tmp_path / name)}
        )
        await eventually(deaths, holds=lambda dead: dead == set(DYING), within_s=30)
        await asyncio.gather(*(asyncio.to_thread(fleet.await_ready, name) for name in DYING))
        await buying.more(20)
    _some_completed(buying)


@pytest.mark.parametrize(
    ("server", "how"), [("broker", "kill"), ("database", "kill"), ("database", "restart")]
)
async def test_a_server_goes_and_comes_back(
    server: str, how: str, stage: Stage, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"own_{server}")
    async with crowd(stage, seed=2) as buying:
        await buying.more(30)
        if how == "restart":
            await asyncio.to_thread(fleet.restart, server)
        else:
            await asyncio.to_thread(fleet.kill, server)
            await asyncio.to_thread(fleet.await_ready, server)
        await buying.more(30)
    _some_completed(buying)


@pytest.mark.usefixtures("own_broker")
async def test_orders_are_accepted_while_the_broker_is_away(stage: Stage) -> None:
    """The broker stops in good order under load; orders still come in, and are done once it is back."""
    buyer, item = await stage.buyer(), await stage.shirt(10)
    async with crowd(stage, seed=6) as buying:
        await buying.more(20)
        await asyncio.to_thread(fleet.stop, "broker")
        try:
            keys = [stage.new_key() for _ in range(3)]
            placed = [await persist(lambda key=key: buyer.place([shirts(item)], key=key)) for key in keys]
            await buying.more(10)
            assert {(await buyer.order(order.id)).status for order in placed} == {"PENDING"}
        finally:
            await asyncio.to_thread(fleet.start, "broker")
        ends = [await buyer.until_settled(order.id) for order in placed]
    assert [end.status for end in ends] == ["COMPLETED"] * 3
    assert await stage.stock(item) == 7
    _some_completed(buying)


@pytest.mark.parametrize("seed", [11])
async def test_services_killed_in_random_order(seed: int, stage: Stage) -> None:
    chance = random.Random(seed)  # noqa: S311  to be repeated, not to be secret
    async with crowd(stage, seed=seed) as buying:
        for _ in range(12):
            name = chance.choice(ALL)
            with suppress(FleetError):  # it has only just died, and is not back yet
                await asyncio.to_thread(fleet.kill, name)
            await asyncio.sleep(chance.uniform(0.05, 0.6))
        await asyncio.gather(*(asyncio.to_thread(fleet.await_ready, name) for name in ALL))
        await buying.more(20)
    _some_completed(buying)


async def test_two_replicas_of_every_service_share_the_work_and_one_may_die(stage: Stage) -> None:
    await asyncio.gather(*(asyncio.to_thread(fleet.scale, name, 2) for name in ALL))
    try:
        async with crowd(stage, seed=3) as buying:
            await buying.more(60)
            for name in DYING:
                await asyncio.to_thread(fleet.kill, name, 2)
            await buying.more(60)
        _some_completed(buying)
    finally:
        await asyncio.gather(*(asyncio.to_thread(fleet.scale, name, 1) for name in ALL))


async def test_a_restart_of_everything_loses_nothing(stage: Stage) -> None:
    """All services stop in good order and come back: what was accepted is found and comes to its end."""
    async with crowd(stage, seed=4) as buying:
        await buying.more(20)
        await _restart_all(ALL)
        await buying.more(20)
    _some_completed(buying)


def _event(name: str, data: dict[str, Any]) -> bytes:
    event = CloudEvent(
        id=str(uuid4()), source="/test", type=name, subject=str(uuid4()), time=utc_now(), data=data
    )
    return encode(event)


async def test_poison_goes_to_the_dead_letters_and_orders_go_on(shop: Layout, stage: Stage) -> None:
    whole = {
        "order_id": str(uuid4()),
        "buyer_id": 1,
        "placed_at": utc_now().isoformat(),
        # More pieces than a column can hold: read without complaint, but never to be handled.
        "lines": [{"item_id": 1, "quantity": -(10**19), "unit_price": 49_800}],
        "participants": ["item"],
    }
    unreadable = [
        b"\xff\x00 not JSON",
        b'{"not": "an array"}',
        batch([_event("order.placed", {"order_id": str(uuid4())})]),
        batch([_event("order.of.another.kind", whole)]),
    ]
    queue = "item.order.placed"
    async with crowd(stage, seed=5) as buying:
        await buying.more(10)
        url = amqp_url_for(shop, "order")
        connection = await aio_pika.connect(url)
        async with connection, connection.channel() as channel:
            for body in (*unreadable, batch([_event("order.placed", whole)])):
                message = aio_pika.Message(
                    body,
                    content_type=CONTENT_TYPE,
                    type="order.placed",
                    message_id=str(uuid4()),
                    user_id=urlsplit(url).username,
                )
                await channel.default_exchange.publish(message, routing_key=queue)
        expected = {queue: len(unreadable) + 1}
        await eventually(lambda: dead_letters(shop), holds=lambda dead: dead == expected, within_s=20)
        await buying.more(20)
    _some_completed(buying)

    letters = DeadLetters(stage.admin)

    async def groups() -> dict[str, DeadLetterGroup]:
        return {one.exception: one for one in await letters.groups()}

    found = await eventually(groups, holds=lambda seen: sum(one.dead for one in seen.values()) == 5)
    assert {one.handler for one in found.values()} == {"item_svc.events.reserve_stock"}
    buried = found.pop("Unreadable")
    [failed] = found.values()
    assert (buried.dead, failed.dead) == (len(unreadable), 1)

    # It was tried as often as there are pauses between tries, and once before them.
    assert failed.sample.attempts == 4
    assert failed.sample.headers["x-service"] == "item-svc#1"
    assert msgspec.json.decode(failed.sample.body)[0]["data"] == whole

    # Sent back before its cause is mended it fails again, and that is told.
    again = buried.sample.id
    assert (await letters.redrive(ids=[again])).changed == 1
    back = await eventually(groups, holds=lambda seen: seen["Unreadable"].newest > buried.newest)
    assert (back["Unreadable"].dead, back["Unreadable"].failed_redrives) == (len(unreadable), 1)
    for one in (back["Unreadable"], failed):
        await letters.discard("poison made by a test", group=one.group)
    assert await letters.groups() == []
