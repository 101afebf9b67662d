"""How many orders may be under way: queues are seen, and what waits for others is not taken for one."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
import uvicorn

from gateway.service import service
from gateway.settings import GatewaySettings
from gateway.shop import events
from gateway.shop.admitting import MOST, OrdersUnderWay
from order_svc.contracts import PlaceOrder
from shared.service.app import connections
from tests.gateway.fakes import FakeRpc, Signer, gateway
from tests.gateway.test_orders import ORDER, view
from tests.support.ports import free_port
from tests.support.waiting import eventually

PATIENCE = 2.0


class World:
    """A model of the shop: orders are fulfilled one after another, so many a second; some never are."""

    def __init__(self, per_second: float) -> None:
        self.orders = OrdersUnderWay()
        self.now = 0.0
        self.took: list[float] = []
        self.accepted = self.refused = 0
        self._each = 1 / per_second
        self._free_at = 0.0
        self._ends: list[tuple[float, int, float]] = []

    def load(self, per_second: float, seconds: float, *, hangs_each: int = 0) -> None:
        """Orders come at a steady rate; each so many-th waits for one who is away."""
        for number in range(int(per_second * seconds)):
            self.now += 1 / per_second
            while self._ends and self._ends[0][0] <= self.now:
                at, order, began = heapq.heappop(self._ends)
                self.orders.completed(order, at)
                self.took.append(at - began)
            if self.orders.is_full(self.now, PATIENCE):
                self.refused += 1
                continue
            self.accepted += 1
            self.orders.placed(self.accepted, self.now)
            if hangs_each and number % hangs_each == 0:
                continue
            self._free_at = max(self._free_at, self.now) + self._each
            heapq.heappush(self._ends, (self._free_at + 0.02, self.accepted, self.now))


def test_within_what_the_shop_can_do_nothing_is_refused() -> None:
    world = World(500)
    world.load(450, 30)
    assert world.refused == 0


def test_at_three_times_that_it_does_as_much_as_ever_and_in_time() -> None:
    world = World(500)
    world.load(250, 5)
    world.load(1500, 30)
    assert len(world.took) > 0.95 * 500 * 30
    assert max(world.took) < 5.0
    world.took.clear()
    world.load(1500, 10)
    assert max(world.took) < 1.0  # after the first seconds it knows


def test_a_participant_that_is_away_does_not_keep_the_others_out() -> None:
    world = World(500)
    world.load(400, 30, hangs_each=2)
    assert world.refused == 0


def test_with_nothing_fulfilled_at_all_orders_are_accepted_all_the_same() -> None:
    world = World(500)
    world.load(400, 20, hangs_each=1)
    assert world.refused == 0


def test_with_nothing_fulfilled_not_without_bound() -> None:
    world = World(500)
    world.load(2 * MOST, 1.5, hangs_each=1)
    assert world.accepted == MOST


def test_late_ones_keep_new_ones_out_for_a_moment() -> None:
    orders = OrdersUnderWay()
    for number in range(20):
        orders.placed(number, 0.0)
    assert not orders.is_full(1.0, PATIENCE)
    for number in range(20):
        orders.completed(number, 3.0)
    assert orders.is_full(3.1, PATIENCE)
    assert not orders.is_full(3.1, 0.0)  # switched off
    assert not orders.is_full(4.2, PATIENCE)


def test_a_few_late_ones_say_nothing() -> None:
    orders = OrdersUnderWay()
    for number in range(5):
        orders.placed(number, 0.0)
        orders.completed(number, 20.0)
    assert not orders.is_full(20.1, PATIENCE)


# At the door ---------------------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> OrdersUnderWay:
    """As many orders under way as may be: one."""
    orders = OrdersUnderWay(most=1)
    orders.placed("another", time.monotonic())
    for module in ("gateway.shop.placing", "gateway.shop.events"):
        monkeypatch.setattr(f"{module}.under_way", orders)
    return orders


@pytest.fixture
async def door(rpc: FakeRpc, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway behind its HTTP server."""
    port, limited = free_port(), connections(service, GatewaySettings())
    app = cast(Any, gateway(rpc, signer))
    config = uvicorn.Config(
        app, port=port, http=limited.protocol(), lifespan="off", log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([config.bind_socket()]))

    async def has_started() -> bool:
        return server.started

    await eventually(has_started)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as talking:
        yield talking
    server.should_exit = server.force_exit = True
    await running


async def test_placing_is_refused_before_anything_is_looked_at(
    rpc: FakeRpc, door: httpx.AsyncClient, full: OrdersUnderWay
) -> None:
    for _ in range(3):  # on one connection
        answer = await door.post("/orders", content=b"{" * 200_000)  # no token, and no JSON
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == str(answer.json()["retry_after"])
        assert answer.json()["type"] == "/problems/overloaded"
    assert rpc.calls == []
    assert (await door.get("/orders")).status_code == 401  # all else goes on, on the same connection
    full.ended("another")
    assert (await door.post("/orders", content=b"{")).status_code == 401


async def test_who_wants_no_more_than_a_refusal_is_let_go(
    door: httpx.AsyncClient, full: OrdersUnderWay
) -> None:
    answer = await door.post("/orders", content=b"{}", headers={"Connection": "close"})
    assert answer.status_code == 503


async def test_an_order_counts_until_it_has_ended(
    rpc: FakeRpc, client: httpx.AsyncClient, buyer: dict[str, str], full: OrdersUnderWay
) -> None:
    full.ended("another")
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id)
    placed = await client.post("/orders", json=ORDER, headers=buyer)
    assert placed.status_code == 202
    assert (await client.post("/orders", json=ORDER, headers=buyer)).status_code == 503
    events.order_failed(events.OrderFailed(order_id=UUID(placed.json()["id"]), settled=True))
    rpc.answers.pop(PlaceOrder)
    assert (await client.post("/orders", json=ORDER, headers=buyer)).status_code == 503  # away
    assert len(full) == 0  # what was not placed is not counted
