"""What hostile clients try, against a whole shop: a clear 4xx each time, and nothing in any book changes."""

import json
from typing import Any

import pytest

from deploy.local.layout import Layout
from ops.demo.stage import FIXED, SHIRT_PRICE, Stage, shirts
from ops.shop import Line, Refused
from tests.abuse.conftest import Headers, Send, books

LINE = {"item_id": 1, "quantity": 1, "unit_price": SHIRT_PRICE}
NOBODY = "00000000-0000-4000-8000-000000000000"


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
    problem = send("POST", "/orders", status, content=content, headers=headers)
    if field:
        assert field in [error.field for error in problem.errors], problem


def test_a_body_without_end_and_one_that_is_no_json(send: Send, buyer: Headers) -> None:
    send("POST", "/orders", 413, content=b" " * (1024 * 1024 + 1), headers=buyer)
    send("POST", "/orders", 415, content=b"<order/>", headers={**buyer, "Content-Type": "text/xml"})


def test_what_is_for_admins(send: Send, buyer: Headers) -> None:
    send("GET", "/users", 403, headers=buyer)
    item = {"name": "Mine", "price": 1}
    send("POST", "/items", 403, headers=buyer, json=item)
    send("PATCH", "/items/1", 403, headers={**buyer, "If-Match": '"1"'}, json={"price": 1})
    send("DELETE", "/items/1", 403, headers={**buyer, "If-Match": '"1"'})
    send("POST", "/items/1/stock", 403, headers=buyer, json={"delta": 1, "reason": "mine"})
    send("POST", "/coupons/1/grants", 403, headers=buyer, json={"user_ids": [2]})
    send("GET", "/coupons/1/uses", 403, headers=buyer)
    send("GET", "/items/1/stock-history", 403, headers=buyer)


def test_a_grant_to_nobody(send: Send, admin: Headers) -> None:
    problem = send("POST", "/coupons/1/grants", 422, headers=admin, json={"user_ids": [2, 2**60]})
    assert [error.field for error in problem.errors] == ["user_ids[1]"]
    send("POST", f"/coupons/{2**50}/grants", 404, headers=admin, json={"user_ids": [2]})


async def test_what_is_somebody_elses(stage: Stage, shop: Layout, stranger: Headers) -> None:
    """Another's order, payment, coupon and notification are as if they were not there."""
    victim, item = await stage.buyer(points=SHIRT_PRICE), await stage.shirt()
    bought = await victim.place([shirts(item)], wait_s=20)
    payment = await victim.pay(bought.id, "points")
    await victim.until(bought.id, lambda seen: seen.paid)
    [coupon] = await stage.coupons(victim, FIXED)
    too_many = {"item_id": item, "quantity": 11, "unit_price": SHIRT_PRICE}
    failed = (
        await victim.send("POST", "/orders", body={"lines": [too_many]}, headers={"Prefer": "wait=20"})
    ).json()
    before = books(shop)
    for method, path in (
        ("GET", f"/orders/{bought.id}"),
        ("GET", f"/orders/{bought.id}/events"),
        ("POST", f"/orders/{bought.id}/cancel"),
        ("GET", f"/payments/{payment.id}"),
        ("GET", f"/payments/{NOBODY}"),
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
    for order_id in (bought.id, failed["id"], NOBODY):
        body = {"order_id": order_id, "method": "points"}
        with pytest.raises(Refused) as refused:
            await stage.shop.send("POST", "/payments", body=body, headers=stranger)
        assert refused.value.status == 404
    with pytest.raises(Refused) as refused:
        await stage.shop.send("POST", f"/payments/{payment.id}/refund", headers=stranger)
    assert refused.value.status == 403
    query = {"item_id": item, "user_coupon_ids": str(coupon.id)}
    with pytest.raises(Refused) as refused:
        await stage.shop.send("GET", "/coupons/applied-amount", query=query, headers=stranger)
    assert refused.value.status == 404
    quote = {"lines": [{"item_id": item, "quantity": 1, "user_coupon_ids": [coupon.id]}]}
    with pytest.raises(Refused) as refused:
        await stage.shop.send("POST", "/quotes", body=quote, headers=stranger)
    assert refused.value.status == 404
    assert books(shop) == before


async def test_coupons_that_are_not_there_or_anothers_buy_nothing(stage: Stage) -> None:
    """Such an order is refused by coupon as soon as it hears of it, and all is as it was."""
    victim, thief, item = await stage.buyer(), await stage.buyer(), await stage.shirt()
    [coupon] = await stage.coupons(victim, FIXED)
    for coupon_id in (coupon.id, 2**60):
        line = Line(item, 1, SHIRT_PRICE, SHIRT_PRICE - 3_000, [coupon_id])
        order = await thief.place([line], wait_s=20)
        assert (order.status, order.reason) == ("CANCEL", "coupon_invalid")
    assert await stage.stock(item) == 10
    assert [one.used for one in await victim.coupons()] == [False]


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
        problem = send("PATCH", "/users/me", status, headers=buyer, json=body)
        assert problem.errors or body == {"role": "admin"}


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
