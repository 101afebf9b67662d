"""Placing an order and waiting for its end; looking, listing, cancelling."""

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from gateway.door.waiting import Watches, wait_seconds
from gateway.shop import events
from gateway.shop.events import settlements
from order_svc.contracts import (
    CancelOrder,
    GetOrder,
    LineView,
    ListOrders,
    OrderPage,
    OrderView,
    PlaceOrder,
)
from shared.clock import utc_now
from shared.context import correlation_id
from shared.errors import Conflict, NotFound, OutcomeUnknown, RuleBroken, Unavailable
from shared.ids import new_id
from tests.gateway.fakes import FakeRpc

Client = httpx.AsyncClient
ORDER = {"lines": [{"item_id": 1, "quantity": 2, "unit_price": 100}]}


def view(order_id: UUID, **changes: Any) -> OrderView:
    """An order just accepted, with some of its fields changed."""
    order = OrderView(
        id=order_id,
        buyer_id=2,
        status="PENDING",
        reason=None,
        reason_details=None,
        settled=False,
        paid=False,
        pay_with=None,
        total=200,
        lines=[LineView(item_id=1, quantity=2, unit_price=100, discounted_price=100)],
        participants=[],
        history=[],
        version=1,
        created_at=utc_now(),
    )
    return msgspec.structs.replace(order, **changes)


class Orders:
    """An order service of which a test decides how orders end."""

    def __init__(self) -> None:
        self.kept: dict[UUID, OrderView] = {}
        self.asked = 0

    def place(self, call: PlaceOrder) -> OrderView:
        self.kept[call.order_id] = view(call.order_id)
        return self.kept[call.order_id]

    def get(self, call: GetOrder) -> OrderView:
        self.asked += 1
        return self.kept[call.order_id]

    def settle(self, status: str = "COMPLETED") -> UUID:
        """End the one order there is."""
        (order_id,) = self.kept
        self.kept[order_id] = view(order_id, status=status, settled=True, version=2)
        return order_id


@pytest.fixture
def orders(rpc: FakeRpc) -> Orders:
    """The order service behind the gateway."""
    service = Orders()
    rpc.answers[PlaceOrder] = service.place
    rpc.answers[GetOrder] = service.get
    return service


def news_of(order_id: UUID) -> events.OrderCompleted:
    """The order is completed; its one item has a name."""
    return events.OrderCompleted(
        order_id=order_id, paid=True, version=3, participants=[], history=[], item_names={1: "a shirt"}
    )


async def placed(orders: Orders) -> None:
    """Wait until an order has been placed and somebody waits for its end."""
    while not orders.kept or not settlements._waiting:  # noqa: ASYNC110  nothing there to wait on
        await asyncio.sleep(0.001)


async def test_an_order_is_accepted_as_it_is(
    client: Client, rpc: FakeRpc, orders: Orders, buyer: dict[str, str]
) -> None:
    response = await client.post("/orders", json=ORDER, headers=buyer)

    assert response.status_code == 202
    body = response.json()
    assert body["status"] == "PENDING"
    assert response.headers["location"] == f"/orders/{body['id']}"
    call = rpc.calls[-1]
    assert isinstance(call, PlaceOrder)
    assert (call.buyer_id, call.order_id.version, rpc.keys[-1]) == (2, 7, None)
    assert call.lines[0].discounted_price is None


async def test_everything_about_an_order_bears_its_id(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    seen: list[str | None] = []

    def place(call: PlaceOrder) -> OrderView:
        seen.append(correlation_id())
        return view(call.order_id)

    rpc.answers[PlaceOrder] = place
    response = await client.post("/orders", json=ORDER, headers=buyer)
    assert seen == [response.json()["id"]]


@pytest.mark.parametrize("status", ["COMPLETED", "FAIL", "CANCEL"])
async def test_who_prefers_to_wait_gets_the_settled_order(
    client: Client, orders: Orders, buyer: dict[str, str], status: str
) -> None:
    waiting = asyncio.create_task(client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=10"}))
    await asyncio.wait_for(placed(orders), 5)
    order_id = orders.settle(status)
    if status == "FAIL":
        events.order_failed(events.OrderFailed(order_id=order_id, settled=True))
    elif status == "CANCEL":
        events.order_settled(events.OrderCancelled(order_id=order_id))
    else:
        events.order_completed(news_of(order_id))
    response = await asyncio.wait_for(waiting, 5)

    assert (response.status_code, response.json()["status"]) == (201, status)
    assert settlements._waiting == {}


async def test_the_news_of_its_completion_spares_a_look_at_the_order(
    client: Client, orders: Orders, buyer: dict[str, str]
) -> None:
    waiting = asyncio.create_task(client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=10"}))
    await asyncio.wait_for(placed(orders), 5)
    events.order_completed(news_of(next(iter(orders.kept))))
    body = (await asyncio.wait_for(waiting, 5)).json()

    assert (body["status"], body["settled"], body["paid"], body["version"]) == ("COMPLETED", True, True, 3)
    assert orders.asked == 0


async def test_an_order_settled_at_once_is_not_waited_for(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id, settled=True, status="FAIL")
    response = await client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=20"})
    assert response.status_code == 201


class TestWithoutEvents:
    async def test_asking_now_and_then_finds_the_end(
        self, client: Client, orders: Orders, buyer: dict[str, str]
    ) -> None:
        waiting = asyncio.create_task(
            client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=10"})
        )
        await asyncio.wait_for(placed(orders), 5)
        orders.settle()
        assert (await asyncio.wait_for(waiting, 5)).status_code == 201

    async def test_after_the_wait_the_order_is_answered_as_it_is(
        self, client: Client, orders: Orders, buyer: dict[str, str]
    ) -> None:
        started = time.monotonic()
        response = await client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=1"})

        assert response.status_code == 202
        assert 0.9 < time.monotonic() - started < 3

    async def test_an_order_service_that_goes_away_meanwhile_harms_nothing(
        self, client: Client, rpc: FakeRpc, orders: Orders, buyer: dict[str, str]
    ) -> None:
        del rpc.answers[GetOrder]
        response = await client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=1"})
        assert (response.status_code, response.json()["status"]) == (202, "PENDING")

    async def test_an_event_without_an_answer_is_no_busy_loop(
        self, client: Client, rpc: FakeRpc, orders: Orders, buyer: dict[str, str]
    ) -> None:
        waiting = asyncio.create_task(
            client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=1"})
        )
        await asyncio.wait_for(placed(orders), 5)
        events.order_settled(events.OrderSettled(order_id=next(iter(orders.kept))))
        await waiting
        assert orders.asked < 40


async def test_a_failure_with_things_to_give_back_wakes_nobody(orders: Orders) -> None:
    order_id = new_id()
    with settlements.watch(order_id) as settled:
        events.order_failed(events.OrderFailed(order_id=order_id, settled=False))
        assert not settled.is_set()
        events.order_settled(events.OrderCancelled(order_id=order_id))
        assert settled.is_set()


def test_many_may_wait_for_one_order_and_leave_nothing_behind() -> None:
    waiting: Watches[UUID, None] = Watches()
    order_id = new_id()
    with waiting.watch(order_id) as one:
        with waiting.watch(order_id) as other:
            waiting.tell(order_id)
            assert one.is_set()
            assert other.is_set()
        waiting.tell(order_id)
    waiting.tell(order_id)
    assert waiting._waiting == {}


class TestIdempotencyKey:
    async def test_equal_bodies_have_equal_fingerprints_however_they_are_spelled(
        self, client: Client, rpc: FakeRpc, orders: Orders, buyer: dict[str, str]
    ) -> None:
        spellings = [
            b'{"lines":[{"item_id":1,"quantity":2,"unit_price":100}]}',
            b'{"pay_with":null, "lines":[{"unit_price":100,"user_coupon_ids":[],"quantity":2,"item_id":1}]}',
            b'{"lines":[{"item_id":1,"quantity":3,"unit_price":100}]}',
        ]
        headers = buyer | {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
        for body in spellings:
            await client.post("/orders", content=body, headers=headers)
        keys = [key for key in rpc.keys if key is not None]

        assert {(key.owner, key.route, key.key) for key in keys} == {(2, "place_order", "key-1")}
        assert keys[0].fingerprint == keys[1].fingerprint != keys[2].fingerprint
        assert len({call.order_id for call in rpc.calls if isinstance(call, PlaceOrder)}) == 3

    async def test_the_first_order_is_answered_and_waited_for(
        self, client: Client, rpc: FakeRpc, orders: Orders, buyer: dict[str, str]
    ) -> None:
        first = new_id()
        orders.kept[first] = view(first)
        rpc.answers[PlaceOrder] = lambda _: orders.kept[first]
        headers = buyer | {"Idempotency-Key": "key-1"}

        now = await client.post("/orders", json=ORDER, headers=headers)
        assert (now.status_code, now.headers["location"]) == (202, f"/orders/{first}")
        waiting = asyncio.create_task(
            client.post("/orders", json=ORDER, headers=headers | {"Prefer": "wait=10"})
        )
        await asyncio.wait_for(placed(orders), 5)
        orders.settle()
        assert (await asyncio.wait_for(waiting, 5)).status_code == 201

    @pytest.mark.parametrize("key", ["a", "x" * 255, '"quoted"', "!~"])
    async def test_any_visible_characters_will_do(
        self, client: Client, rpc: FakeRpc, orders: Orders, buyer: dict[str, str], key: str
    ) -> None:
        response = await client.post("/orders", json=ORDER, headers=buyer | {"Idempotency-Key": key})

        assert response.status_code == 202
        assert rpc.keys[-1] is not None
        assert rpc.keys[-1].key == key


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ([], 0),
        ([""], 0),
        (["wait=5"], 5),
        (["Wait = 5"], 5),
        (['wait="5"'], 5),
        (["wait=0"], 0),
        (["wait=20"], 20),
        (["wait=21"], 20),
        (["wait=100000"], 20),
        (["wait=" + "9" * 10_000], 20),
        (["wait=007"], 7),
        (["respond-async, wait=3"], 3),
        (["respond-async", "wait=3"], 3),
        (["wait=3; foo=bar"], 3),
        (["wait=3, wait=9"], 3),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait=soon"], 0),
        (["wait"], 0),
        (["wait="], 0),
        (['wait="'], 0),
        (["wait=²"], 0),
        (["waiting=5"], 0),
        ([",,;=,"], 0),
    ],
)
def test_prefer_is_read_as_rfc_7240_says(prefer: list[str], seconds: int) -> None:
    assert wait_seconds(prefer) == seconds


async def test_a_buyer_sees_their_own_orders_and_an_admin_all(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], admin: dict[str, str]
) -> None:
    order_id = new_id()
    rpc.answers[ListOrders] = lambda _: OrderPage(items=[], next=None)
    rpc.answers[GetOrder] = lambda call: view(call.order_id)
    rpc.answers[CancelOrder] = lambda call: view(call.order_id, status="FAIL")

    for headers, owner, by in ((buyer, 2, "buyer"), (admin, None, "admin")):
        assert (await client.get("/orders", headers=headers)).json() == {"items": [], "next": None}
        assert rpc.calls[-1] == ListOrders(buyer_id=owner)
        assert (await client.get(f"/orders/{order_id}", headers=headers)).status_code == 200
        assert rpc.calls[-1] == GetOrder(order_id=order_id, buyer_id=owner)
        assert (await client.post(f"/orders/{order_id}/cancel", headers=headers)).status_code == 202
        actor = owner or 1
        expected = CancelOrder(order_id=order_id, by=by, buyer_id=owner, actor=actor)  # type: ignore[arg-type]
        assert rpc.calls[-1] == expected


async def test_pages_of_orders_are_asked_for_by_limit_and_order(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    after = new_id()
    rpc.answers[ListOrders] = lambda _: OrderPage(items=[], next=after)

    response = await client.get(f"/orders?limit=100&after={after}", headers=buyer)
    assert response.json()["next"] == str(after)
    assert rpc.calls[-1] == ListOrders(buyer_id=2, limit=100, after=after)
    for query in ("limit=0", "limit=101", "limit=x", "after=1", "after=x", "limit=1&limit=2"):
        assert (await client.get(f"/orders?{query}", headers=buyer)).status_code == 400


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("There is no such order."), 404),
        (Conflict("The order failed."), 409),
        (RuleBroken("The key was used with another body."), 422),
        (Unavailable("order is away"), 503),
        (OutcomeUnknown("The connection broke."), 503),
    ],
)
async def test_what_the_order_service_refuses_is_told_as_it_is(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], error: Exception, status: int
) -> None:
    def refuse(_: PlaceOrder) -> OrderView:
        raise error

    rpc.answers[PlaceOrder] = refuse
    response = await client.post("/orders", json=ORDER, headers=buyer | {"Prefer": "wait=5"})

    assert response.status_code == status
    assert response.json()["detail"] == str(error)
    assert ("retry-after" in response.headers) == (status == 503)
    assert settlements._waiting == {}


async def test_a_fault_of_ours_shows_nothing_of_our_inside(
    client: Client, rpc: FakeRpc, buyer: dict[str, str]
) -> None:
    def break_down(_: PlaceOrder) -> OrderView:
        raise RuntimeError("secret inside")

    rpc.answers[PlaceOrder] = break_down
    response = await client.post("/orders", json=ORDER, headers=buyer)

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
