"""Every POST of a signed-in user that changes something is done once under an `Idempotency-Key`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, cast
from uuid import UUID

import httpx
import pytest

from deploy.local.layout import Layout
from payment_svc.domain import Payment, State
from payment_svc.store import payments
from shared.ids import new_id
from tests.dead_letters.letters import kept, letter
from tests.gateway.fakes import Signer, gateway
from tests.gateway.whole import WholeShop, whole_shop
from tests.order_svc.acts import reserved, say

CHANGES_NOTHING = {"quote", "stream_ticket"}
"""POSTs of signed-in users that are questions."""
ADMIN, BUYER = 1, 2


class Wish(NamedTuple):
    """A request: where to, and with what body."""

    path: str
    body: Any = None


class Case(NamedTuple):
    """A request that succeeds, and another one to the same route."""

    wish: Wish
    other: Wish
    by: int = BUYER


class Acting(NamedTuple):
    """Somebody at the gateway of a whole shop."""

    shop: WholeShop
    client: httpx.AsyncClient
    headers: dict[int, dict[str, str]]

    async def post(self, wish: Wish, *keys: str, by: int = BUYER) -> httpx.Response:
        """Send a request under a key, or two."""
        headers = [*self.headers[by].items(), *(("Idempotency-Key", key) for key in keys)]
        return await self.client.post(wish.path, json=wish.body, headers=headers)

    async def made(self, path: str, body: Any = None, *, by: int = ADMIN) -> Any:
        """What comes of a request that is part of the preparations."""
        response = await self.post(Wish(path, body), by=by)
        assert response.is_success, response.text
        return response.json()


@pytest.fixture(scope="module")
async def acting(servers: Layout) -> AsyncIterator[Acting]:
    """An admin and a buyer at a whole shop."""
    signer = Signer()
    async with whole_shop(servers) as shop:
        transport = httpx.ASGITransport(cast(Any, gateway(shop, signer)))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            yield Acting(shop, client, {ADMIN: signer.bearer(ADMIN, "admin"), BUYER: signer.bearer(BUYER)})


# One case for each route ---------------------------------------------------------------------------------


async def create_item(acting: Acting) -> Case:
    body = {"name": f"Mug {new_id()}", "price": 700, "stock_quantity": 3}
    return Case(Wish("/items", body), Wish("/items", body | {"price": 800}), ADMIN)


async def adjust_stock(acting: Acting) -> Case:
    item = (await acting.made("/items", {"name": f"Cup {new_id()}", "price": 700}))["id"]
    path, body = f"/items/{item}/stock", {"delta": 5, "reason": "found"}
    return Case(Wish(path, body), Wish(path, body | {"delta": 6}), ADMIN)


def policy() -> dict[str, Any]:
    """A coupon policy that is on."""
    return {
        "name": f"Off {new_id()}",
        "kind": "fixed",
        "discount_amount": 1000,
        "valid_from": "2020-01-01T00:00:00Z",
        "valid_until": "2090-01-01T00:00:00Z",
    }


async def create_coupon(acting: Acting) -> Case:
    body = policy()
    return Case(Wish("/coupons", body), Wish("/coupons", body | {"discount_amount": 1}), ADMIN)


async def take_coupon(acting: Acting) -> Case:
    one, other = [(await acting.made("/coupons", policy()))["id"] for _ in range(2)]
    return Case(Wish(f"/coupons/{one}/issue"), Wish(f"/coupons/{other}/issue"))


async def grant_coupons(acting: Acting) -> Case:
    path = f"/coupons/{(await acting.made('/coupons', policy()))['id']}/grants"
    return Case(Wish(path, {"user_ids": [2, 3]}), Wish(path, {"user_ids": [2]}), ADMIN)


def an_order(quantity: int = 1) -> dict[str, Any]:
    """An order of shirts."""
    return {"lines": [{"item_id": 1, "quantity": quantity, "unit_price": 49_800}]}


async def place_order(acting: Acting) -> Case:
    return Case(Wish("/orders", an_order()), Wish("/orders", an_order(2)))


async def completed(acting: Acting) -> str:
    """The id of an order to be paid for."""
    order = await acting.made("/orders", an_order(), by=BUYER)
    await say(acting.shop.database("order"), reserved(UUID(order["id"])))
    return order["id"]


async def cancel_order(acting: Acting) -> Case:
    one, other = await completed(acting), await completed(acting)
    return Case(Wish(f"/orders/{one}/cancel"), Wish(f"/orders/{other}/cancel"))


async def pay(acting: Acting) -> Case:
    one, other = await completed(acting), await completed(acting)
    body = {"order_id": one, "method": "points"}
    return Case(Wish("/payments", body), Wish("/payments", body | {"order_id": other}))


async def paid(acting: Acting) -> str:
    """The id of a payment."""
    body = {"order_id": await completed(acting), "method": "points"}
    return (await acting.made("/payments", body, by=BUYER))["id"]


async def refund_payment(acting: Acting) -> Case:
    one, other = await paid(acting), await paid(acting)
    return Case(Wish(f"/payments/{one}/refund"), Wish(f"/payments/{other}/refund"), ADMIN)


async def charge_points(acting: Acting) -> Case:
    return Case(Wish("/points/charge", {"amount": 10}), Wish("/points/charge", {"amount": 11}))


async def make_payment_intent(acting: Acting) -> Case:
    path = "/payments/intents"
    return Case(Wish(path, {"amount": 1000}), Wish(path, {"amount": 1001}))


async def grant_points(acting: Acting) -> Case:
    path, body = f"/users/{BUYER}/points", {"delta": 5, "reason": "a present"}
    return Case(Wish(path, body), Wish(path, body | {"delta": 6}), ADMIN)


async def resolve_payment(acting: Acting) -> Case:
    payment_id = new_id()
    refused = Payment(
        payment_id=payment_id,
        order_id=new_id(),
        state=State.NEEDS_ATTENTION,
        user_id=BUYER,
        method="card",
        amount=1000,
        reason="cancel_refused",
        details={"wanted": "cancel"},
    )
    await acting.shop.database("payment").transaction(lambda tx: payments.add(tx, [refused]))
    path, body = f"/ops/payments/{payment_id}/resolve", {"as": "kept", "reason": "agreed with the buyer"}
    return Case(Wish(path, body), Wish(path, body | {"as": "not_charged"}), ADMIN)


async def read_notification(acting: Acting) -> Case:
    database = acting.shop.database("user")
    for _ in range(2):
        await database.execute(
            "INSERT INTO notifications (user_id, order_id, kind, reason, created_at)"
            " VALUES (%s, %s, 'order_failed', 'out_of_stock', UTC_TIMESTAMP(6))",
            [BUYER, new_id()],
        )
    newest = "SELECT id FROM notifications ORDER BY id DESC LIMIT 2"
    rows = await database.read(lambda reader: reader.rows(newest))
    one, other = (f"/users/me/notifications/{row[0]}/read" for row in rows)
    return Case(Wish(one), Wish(other))


async def letters(acting: Acting) -> list[int]:
    """Two dead letters."""
    return await kept(acting.shop.database("query"), letter(), letter())


async def redrive_dead_letter(acting: Acting) -> Case:
    one, other = await letters(acting)
    return Case(Wish(f"/ops/dead-letters/{one}/redrive"), Wish(f"/ops/dead-letters/{other}/redrive"), ADMIN)


async def discard_dead_letter(acting: Acting) -> Case:
    path = f"/ops/dead-letters/{(await letters(acting))[0]}/discard"
    return Case(Wish(path, {"reason": "too old"}), Wish(path, {"reason": "not ours"}), ADMIN)


async def redrive_dead_letters(acting: Acting) -> Case:
    ids = await letters(acting)
    path = "/ops/dead-letters/redrive"
    return Case(Wish(path, {"ids": ids}), Wish(path, {"ids": ids[:1]}), ADMIN)


async def discard_dead_letters(acting: Acting) -> Case:
    path, body = "/ops/dead-letters/discard", {"ids": await letters(acting), "reason": "too old"}
    return Case(Wish(path, body), Wish(path, body | {"reason": "not ours"}), ADMIN)


async def publish_outbox(acting: Acting) -> Case:
    return Case(Wish("/ops/outbox/query/publish"), Wish("/ops/outbox/order/publish"), ADMIN)


async def send_parked(acting: Acting) -> Case:
    path = "/ops/outbox/query/parked/send"
    return Case(Wish(path, {"all": True}), Wish(path, {"ids": ["never"]}), ADMIN)


CASES: dict[str, Callable[[Acting], Awaitable[Case]]] = {
    make.__name__: make
    for make in (
        create_item,
        adjust_stock,
        create_coupon,
        take_coupon,
        grant_coupons,
        place_order,
        cancel_order,
        pay,
        refund_payment,
        charge_points,
        make_payment_intent,
        grant_points,
        resolve_payment,
        read_notification,
        redrive_dead_letter,
        discard_dead_letter,
        redrive_dead_letters,
        discard_dead_letters,
        publish_outbox,
        send_parked,
    )
}


async def test_each_route_that_should_takes_a_key_and_is_tried_here(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    acts = {
        methods["post"]["operationId"]: methods["post"]
        for methods in document["paths"].values()
        if "security" in methods.get("post", {})
    }
    assert acts.keys() - CHANGES_NOTHING == CASES.keys()
    for name in CASES:
        [header] = [one for one in acts[name].get("parameters", []) if one["name"] == "Idempotency-Key"]
        assert (header["in"], header.get("required", False)) == ("header", False), name
        assert {"409", "422"} <= acts[name]["responses"].keys(), name


@pytest.mark.parametrize("name", CASES)
async def test_a_request_under_a_key_is_done_once(acting: Acting, name: str) -> None:
    case, key = await CASES[name](acting), str(new_id())
    before = await acting.shop.contents()
    first = await acting.post(case.wish, key, by=case.by)
    assert first.is_success, first.text
    done = await acting.shop.contents()
    assert done != before
    again = await acting.post(case.wish, key, by=case.by)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("location") == first.headers.get("location")
    assert await acting.shop.contents() == done
    other = await acting.post(case.other, key, by=case.by)
    assert other.status_code == 422
    assert [error["field"] for error in other.json()["errors"]] == ["Idempotency-Key"]
    twice = await acting.post(case.wish, key, "another", by=case.by)
    assert twice.status_code == 400
    assert await acting.shop.contents() == done
