"""The HTTP client: expired tokens, a shop that is away for a moment, and what a refusal says."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from ops.shop import Away, Line, Refused, Shop, persist
from tests.ops.fake_shop import FakeShop


@pytest.fixture
def fake() -> FakeShop:
    """An empty shop that knows its admin."""
    return FakeShop()


@pytest_asyncio.fixture
async def shop(fake: FakeShop) -> AsyncIterator[Shop]:
    """A client of it."""
    async with Shop("http://shop.test", transport=fake.transport()) as client:
        yield client


async def test_an_expired_token_is_renewed_and_the_request_sent_again(shop: Shop, fake: FakeShop) -> None:
    admin = await shop.sign_in("admin@sagamart.local", "sagamart-admin")
    fake.tokens.clear()

    assert await admin.create_item("Mug", "-", 100, 1) == 1
    assert fake.asked["POST /users/login"] == 1
    assert fake.asked["POST /users/refresh"] == 1


async def test_a_crowd_of_requests_renews_an_expired_token_once(shop: Shop, fake: FakeShop) -> None:
    admin = await shop.sign_in("admin@sagamart.local", "sagamart-admin")
    fake.tokens.clear()

    await asyncio.gather(*(admin.create_item(f"Mug {number}", "-", 100, 1) for number in range(20)))

    assert fake.asked["POST /users/refresh"] == 1
    assert len(fake.items) == 20


async def test_the_password_helps_where_the_refresh_token_does_not(shop: Shop, fake: FakeShop) -> None:
    admin = await shop.sign_in("admin@sagamart.local", "sagamart-admin")
    fake.tokens.clear()
    fake.refresh_tokens.clear()

    assert await admin.create_item("Mug", "-", 100, 1) == 1
    assert fake.asked["POST /users/login"] == 2


async def test_a_refusal_tells_status_title_and_detail(shop: Shop) -> None:
    with pytest.raises(Refused, match="401 Sign in first: because") as caught:
        await shop.sign_in("admin@sagamart.local", "wrong")

    assert caught.value.status == 401


async def test_what_is_no_problem_detail_is_told_as_it_is() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(502, text="<h1>Bad gateway</h1>"))
    async with Shop("http://shop.test", transport=transport) as shop:
        with pytest.raises(Refused, match="502 Bad Gateway: <h1>Bad gateway</h1>"):
            await shop.item(1)


async def test_no_answer_is_away() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with Shop("http://shop.test", transport=httpx.MockTransport(refuse)) as shop:
        assert not await shop.ready()
        with pytest.raises(Away, match="GET /items/1: ConnectError refused"):
            await persist(lambda: shop.item(1), timeout_s=0.0)


async def test_persistence_outlives_a_moment_away(shop: Shop, fake: FakeShop) -> None:
    admin = await shop.sign_in("admin@sagamart.local", "sagamart-admin")
    item = await admin.create_item("Mug", "-", 100, 1)
    fake.busy += ["POST /orders", "POST /orders"]

    order = await persist(lambda: admin.place([Line(item, 1, 100)], key="once"))

    assert order.status == "COMPLETED"
    assert len(fake.orders) == 1


async def test_persistence_does_not_repeat_a_refusal(shop: Shop, fake: FakeShop) -> None:
    with pytest.raises(Refused):
        await persist(lambda: shop.sign_in("admin@sagamart.local", "wrong"))

    assert fake.asked["POST /users/login"] == 1


async def test_points_are_there_once_their_charge_is_known() -> None:
    asked: list[tuple[str, str]] = []
    statuses = ["ASKING", "ASKING", "CAPTURED"]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        if request.url.path == "/users/login":
            return httpx.Response(200, json={"access_token": "a", "refresh_token": "r", "expires_in": 9})
        status = statuses.pop(0)
        if request.url.path == "/points/charge":
            bought = {"payment_id": "p1", "amount": 5, "status": status, "balance": 0}
            return httpx.Response(202, json=bought)
        return httpx.Response(200, json={"id": "p1", "order_id": None, "status": status, "amount": 5})

    async with Shop("http://shop.test", transport=httpx.MockTransport(answer)) as shop:
        buyer = await shop.sign_in("buyer@shop.test", "password")
        await buyer.charge_points(5, "once")

    assert asked[1:] == [("POST", "/points/charge"), *[("GET", "/payments/p1")] * 2]


async def test_a_refund_of_all_has_no_body_and_one_of_a_part_its_amount() -> None:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/users/login":
            return httpx.Response(200, json={"access_token": "a", "refresh_token": "r", "expires_in": 9})
        bodies.append(request.content)
        return httpx.Response(202, json={"id": "p1", "order_id": None, "status": "REFUNDING", "amount": 5})

    async with Shop("http://shop.test", transport=httpx.MockTransport(answer)) as shop:
        admin = await shop.sign_in("admin@shop.test", "password")
        await admin.refund("p1")
        await admin.refund("p1", 3)

    assert bodies == [b"", b'{"amount":3}']
