"""Who did what, over HTTP, is in the audit log with before and after, once, and by user id in histories."""

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import msgspec
import pytest

from deploy.local.layout import Layout
from query_svc import events
from shared.events import Undecoded
from shared.ids import new_id
from tests.gateway.fakes import Signer, gateway
from tests.gateway.whole import WholeShop, whole_shop

ADMIN = 1
PUBLISHERS = ("item", "coupon", "order", "user")


@pytest.fixture(scope="module")
async def shop(servers: Layout) -> AsyncIterator[WholeShop]:
    """A whole shop without a broker."""
    async with whole_shop(servers) as shop:
        shop.keep_events()
        yield shop


@pytest.fixture
async def client(shop: WholeShop, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    """An admin's client."""
    transport = httpx.ASGITransport(cast(Any, gateway(shop, signer)))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://shop.test", headers=signer.bearer(ADMIN, "admin")
    ) as client:
        yield client


async def deliver(shop: WholeShop) -> None:
    """Carry what waits in the outboxes to the query service, twice as a broker may."""
    told: list[Undecoded] = []
    for service in PUBLISHERS:
        rows = await shop.database(service).read(lambda reader: reader.rows("SELECT body FROM outbox"))
        for (body,) in rows:
            told += msgspec.json.decode(body, type=list[Undecoded])
    for _ in range(2):
        await shop.database("query").transaction(lambda tx: events.take_in(told, tx))


async def log(client: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    """The audit log, newest first."""
    answer = await client.get("/ops/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_each_change_stands_in_the_log_once(shop: WholeShop, client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": str(new_id())}
    body = {"name": f"Mug {new_id()}", "price": 700, "stock_quantity": 3}
    made = [(await client.post("/items", json=body, headers=key)).json()["id"] for _ in range(2)]
    item = made[0]
    await client.patch(f"/items/{item}", json={"price": 800}, headers={"If-Match": '"1"'})
    for _ in range(2):
        stock = {"delta": 5, "reason": "found"}
        await client.post(f"/items/{item}/stock", json=stock, headers=key)
    await client.delete(f"/items/{item}", headers={"If-Match": '"3"'})
    policy = {
        "name": "Off",
        "kind": "fixed",
        "discount_amount": 1000,
        "valid_from": "2020-01-01T00:00:00Z",
        "valid_until": "2090-01-01T00:00:00Z",
    }
    coupon = (await client.post("/coupons", json=policy)).json()["id"]
    for _ in range(2):
        await client.post(f"/coupons/{coupon}/grants", json={"user_ids": [2, 3]}, headers=key)
    await client.put("/users/3/roles", json={"roles": ["support"]})
    line = {"item_id": 1, "quantity": 1, "unit_price": 49_800}
    order = (await client.post("/orders", json={"lines": [line]})).json()["id"]
    for _ in range(2):
        assert (await client.post(f"/orders/{order}/cancel")).status_code == 202
    await client.post("/users/2/points", json={"delta": 5, "reason": "a gift"}, headers=key)
    await deliver(shop)

    entries = await log(client)
    assert {entry["by"] for entry in entries} == {ADMIN}
    about_item = [(one["action"], one["reason"]) for one in await log(client, about=f"item {item}")]
    assert sorted(about_item) == [
        ("adjust stock", "found"),
        ("change item", None),
        ("create item", None),
        ("delete item", None),
    ]
    [changed] = await log(client, about=f"item {item}", action="change item")
    assert (changed["details"]["before"]["price"], changed["details"]["after"]["price"]) == (700, 800)
    granted = [one["action"] for one in await log(client, about=f"coupon {coupon}")]
    assert sorted(granted) == ["create coupon policy", "grant coupons"]
    [roles] = await log(client, about="user 3")
    assert roles["details"] == {"before": {"roles": ["customer"]}, "after": {"roles": ["support"]}}
    [cancelled] = await log(client, about=f"order {order}")
    assert cancelled["details"]["after"]["reason"] == "cancelled_by_admin"
    [points] = await log(client, about="user 2")
    assert (points["service"], points["action"]) == ("payment", "points.granted")

    history = (await client.get(f"/items/{item}/stock-history")).json()["items"]
    assert [(one["cause"], one["by"]) for one in history] == [("adjustment", ADMIN), ("initial", ADMIN)]
    rows = await shop.database("order").read(
        lambda reader: reader.rows("SELECT what, by_user FROM order_history WHERE order_id = %s", (order,))
    )
    assert {by for what, by in rows if what != "ORDER_CREATED"} == {ADMIN}


async def test_the_log_is_filtered_and_paged(shop: WholeShop, client: httpx.AsyncClient) -> None:
    assert await log(client, by=7) == []
    assert await log(client, about="payment 7") == []
    assert await log(client, to="2020-01-01T00:00:00Z") == []
    everything = await log(client, limit=100)
    assert await log(client, limit=100, **{"from": "2020-01-01T00:00:00Z"}) == everything
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/ops/audit", params={"limit": 2, "by": ADMIN, **after})).json()
        found += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == everything


@pytest.mark.parametrize(
    "query", ["by=x", "by=-1", "action=", "about=", "from=yesterday", f"about={'x' * 201}", "who=1"]
)
async def test_a_filter_that_cannot_be_meant_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert 400 <= (await client.get(f"/ops/audit?{query}")).status_code < 500
