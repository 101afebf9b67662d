"""What hostile clients try, against a whole shop: a clear 4xx each time, and nothing in any book changes."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from deploy.databases import connect
from deploy.local.layout import Layout
from ops.demo.stage import FIXED, SHIRT_PRICE, Stage
from ops.shop import Refused
from tests.abuse.conftest import Headers

LINE = {"item_id": 1, "quantity": 1, "unit_price": SHIRT_PRICE}
NOBODY = "00000000-0000-4000-8000-000000000000"
# What the platform notes for itself, what failed passwords leave, and sign-ins.
OTHER_TABLES = ("outbox", "inbox", "tortoise_migrations", "sign_in_failures", "sessions")

Send = Callable[..., httpx.Response]


@pytest.fixture
def send(door: httpx.Client, shop: Layout) -> Iterator[Send]:
    """Sends requests that must be refused: as problems that say what is wrong, with all books as before."""
    before = _books(shop)

    def refused(method: str, path: str, status: int, **request: Any) -> httpx.Response:
        answer = door.request(method, path, **request)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["type"].startswith("/problems/")
        assert problem["title"]
        assert problem["detail"]
        return answer

    yield refused
    assert _books(shop) == before


def _books(shop: Layout) -> dict[str, int]:
    """A checksum of every table of every service."""
    with connect(shop.verify_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema LIKE '%%\\_svc' AND table_name NOT IN %s",
            (OTHER_TABLES,),
        )
        names = [f"`{schema}`.`{table}`" for schema, table in cursor.fetchall()]
        assert len(names) > 15
        cursor.execute(f"CHECKSUM TABLE {', '.join(names)}")
        return dict(cursor.fetchall())


def _order(**changes: Any) -> bytes:
    return json.dumps({"lines": [LINE | changes]}).encode()


BODIES: dict[str, tuple[bytes, int, str]] = {
    "no body": (b"", 400, ""),
    "bad UTF-8": (b'{"lines":[],"x":"\xff"}', 400, ""),
    "deep": (
        b'{"lines":[' + json.dumps(LINE).encode() + b'],"x":' + b"[" * 9000 + b"]" * 9000 + b"}",
        400,
        "",
    ),
    "a key twice": (_order().replace(b'"quantity": 1', b'"quantity": 1, "quantity": 2'), 400, "quantity"),
    "10,000 lines": (json.dumps({"lines": [LINE] * 10_000}).encode(), 422, "lines"),
    "a negative quantity": (_order(quantity=-1), 422, "lines[0].quantity"),
    "a quantity of zero": (_order(quantity=0), 422, "lines[0].quantity"),
    "a quantity as text": (_order(quantity="1"), 400, "lines[0].quantity"),
    "a quantity as truth": (_order(quantity=True), 400, "lines[0].quantity"),
    "a quantity of 5,000 digits": (
        b'{"lines":[{"item_id":1,"unit_price":1,"quantity":' + b"9" * 5000 + b"}]}",
        422,
        "lines[0].quantity",
    ),
    "a price below zero": (_order(unit_price=-1), 422, "lines[0].unit_price"),
    "an item beyond all": (_order(item_id=2**63), 422, "lines[0].item_id"),
    "three coupons": (
        _order(discounted_price=1, user_coupon_ids=[2**40, 2**41, 2**42]),
        422,
        "lines[0].user_coupon_ids",
    ),
    "a coupon for two": (
        _order(quantity=2, discounted_price=1, user_coupon_ids=[2**40]),
        422,
        "lines[0].quantity",
    ),
    "coupons without a price": (_order(user_coupon_ids=[2**40]), 422, "lines[0].discounted_price"),
    "a discount for nothing": (_order(discounted_price=1), 422, "lines[0].discounted_price"),
    "another money": (json.dumps({"lines": [LINE], "pay_with": "gold"}).encode(), 422, "pay_with"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_an_order_that_is_none(send: Send, buyer: Headers, body: tuple[bytes, int, str]) -> None:
    content, status, field = body
    headers = {**buyer, "Content-Type": "application/json"}
    problem = send("POST", "/orders", status, content=content, headers=headers).json()
    if field:
        assert field in [error["field"] for error in problem["errors"]], problem


def test_a_body_without_end_and_one_that_is_no_json(send: Send, buyer: Headers) -> None:
    send("POST", "/orders", 413, content=b" " * (1024 * 1024 + 1), headers=buyer)
    send("POST", "/orders", 415, content=b"<order/>", headers={**buyer, "Content-Type": "text/xml"})


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "x" * 5000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/me"),
        ("PATCH", "/users/me"),
        ("GET", "/users"),
        ("GET", "/users/me/notifications"),
        ("GET", "/users/me/notifications/events"),
        ("POST", "/orders"),
        ("GET", "/orders"),
        ("GET", "/points"),
        ("POST", "/points/charge"),
        ("GET", "/cart"),
        ("POST", "/items"),
        ("POST", "/coupons"),
    ],
)
def test_a_token_that_does_not_count(send: Send, method: str, path: str, token: str) -> None:
    answer = send(method, path, 401, headers={"Authorization": f"Bearer {token}"})
    assert answer.headers["www-authenticate"] == "Bearer"


def test_what_is_for_admins(send: Send, buyer: Headers) -> None:
    send("GET", "/users", 403, headers=buyer)
    item = {"name": "Mine", "price": 1}
    send("POST", "/items", 403, headers=buyer, json=item)
    send("PATCH", "/items/1", 403, headers={**buyer, "If-Match": '"1"'}, json={"price": 1})
    send("DELETE", "/items/1", 403, headers={**buyer, "If-Match": '"1"'})
    send("POST", "/items/1/stock", 403, headers=buyer, json={"delta": 1, "reason": "mine"})
    send("POST", "/coupons/1/grants", 403, headers=buyer, json={"user_ids": [2]})


async def test_what_is_somebody_elses(stage: Stage, shop: Layout, stranger: Headers) -> None:
    """Another's order, coupon and notification are as if they were not there."""
    victim, item = await stage.buyer(), await stage.shirt()
    [coupon] = await stage.coupons(victim, FIXED)
    too_many = {"item_id": item, "quantity": 11, "unit_price": SHIRT_PRICE}
    failed = (
        await victim.send("POST", "/orders", body={"lines": [too_many]}, headers={"Prefer": "wait=20"})
    ).json()
    before = _books(shop)
    for method, path in (
        ("GET", f"/orders/{failed['id']}"),
        ("POST", f"/orders/{failed['id']}/cancel"),
        ("GET", f"/orders/{NOBODY}"),
        ("GET", "/orders/1"),
        ("POST", f"/coupons/{2**50}/issue"),
        ("POST", f"/users/me/notifications/{2**50}/read"),
    ):
        with pytest.raises(Refused) as refused:
            await stage.shop.send(method, path, headers=stranger)
        assert refused.value.status == 404, path
    query = {"item_id": item, "user_coupon_ids": str(coupon.id)}
    with pytest.raises(Refused) as refused:
        await stage.shop.send("GET", "/coupons/applied-amount", query=query, headers=stranger)
    assert refused.value.status in (404, 422)
    assert _books(shop) == before


def test_a_query_that_cannot_be_read(send: Send, buyer: Headers) -> None:
    for path in (
        "/orders?limit=0",
        "/orders?limit=101",
        "/orders?limit=ten",
        "/orders?limit=1&limit=2",
        "/orders?after=x",
        "/items?ids=1,x",
        "/items?limit=1e1",
        "/users/me/notifications?limit=-1",
        "/users/me/notifications?after=1.0",
        "/points/history?after=%ff",
    ):
        send("GET", path, 400, headers=buyer)


def test_a_profile_that_is_against_the_rules(send: Send, buyer: Headers) -> None:
    for body, status in (
        ({"name": ""}, 422),
        ({"name": "x" * 101}, 422),
        ({"address": "\u0007"}, 422),
        ({"name": "\u0000"}, 422),
        ({"password": "short", "current_password": "sagamart-buyer"}, 422),
        ({"password": "long enough"}, 422),
        ({"password": "long enough", "current_password": "wrong"}, 422),
        ({"password": 12345678}, 400),
        ({"role": "admin"}, 422),
    ):
        problem = send("PATCH", "/users/me", status, headers=buyer, json=body).json()
        assert problem.get("errors") or body == {"role": "admin"}


def test_points_out_of_thin_air(send: Send, buyer: Headers) -> None:
    for amount, status in (
        (0, 422),
        (-1, 422),
        (10**8 + 1, 422),
        (2**64, 422),
        ("1", 400),
        (1.5, 400),
        (None, 400),
    ):
        send("POST", "/points/charge", status, headers=buyer, json={"amount": amount})
