"""Bodies that are none, and values that are out of the world, at every operation that takes a body."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ops.demo.stage import SHIRT_PRICE
from tests.abuse.conftest import Headers, Send

NOBODY = "00000000-0000-4000-8000-000000000000"
DEEP = b"[" * 9000 + b"]" * 9000

BROKEN: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "nothing": (b"", (400,)),
    "no JSON": (b"{lines: 1}", (400,)),
    "half of it": (b'{"a": [1, 2', (400,)),
    "two of them": (b"{} {}", (400,)),
    "bad UTF-8": (b'{"name": "\xc3\x28", "x": "\xff"}', (400,)),
    "half a character": (b'{"name": "\\ud800"}', (400, 422)),
    "UTF-16": ('{"name": "x"}'.encode("utf-16"), (400,)),
    "not a number": (b'{"amount": NaN}', (400,)),
    "a list": (b"[]", (400,)),
    "nested too deeply": (DEEP, (400,)),
    "nested too deeply inside": (b'{"x": ' + DEEP + b"}", (400,)),
    "a number alone": (b"1e999", (400, 422)),
    "null": (b"null", (400,)),
}
BEYOND = (-1, 2**63, 2**64, 10**40, -(10**40), 1.5, 1e308, "1", True, None, [], {}, "\0", "x" * 100_000)
"""Values that no field takes, or only one that takes anything of its kind."""


def _doors(paths: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every operation that needs a body: its method, and a path to it."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            if "requestBody" in operation and operation["requestBody"]["required"]:
                yield (
                    method.upper(),
                    "/".join("1" if part.startswith("{") else part for part in path.split("/")),
                )


def _headers(person: Headers) -> Headers:
    return {
        **person,
        "Content-Type": "application/json",
        "If-Match": '"1"',
    }


def test_a_body_that_is_none(
    send: Send, admin: Headers, paths: dict[str, Any], subtests: pytest.Subtests
) -> None:
    doors = list(_doors(paths))
    assert len(doors) > 12
    for name, (content, status) in BROKEN.items():
        with subtests.test(body=name):
            for method, path in doors:
                send(method, path, *status, content=content, headers=_headers(admin))


def test_a_key_that_stands_twice(send: Send, admin: Headers, paths: dict[str, Any]) -> None:
    body = b'{"whatever": 1, "whatever": 2}'
    for method, path in _doors(paths):
        send(method, path, 400, content=body, headers=_headers(admin))


def test_a_body_that_is_too_large_or_of_another_kind(
    send: Send, admin: Headers, paths: dict[str, Any]
) -> None:
    for method, path in _doors(paths):
        send(method, path, 413, content=b" " * (1024 * 1024 + 1), headers=_headers(admin))
        send(method, path, 415, content=b"<a/>", headers=_headers(admin) | {"Content-Type": "text/xml"})


GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/users"): {"email": "a@b.example", "name": "A", "address": "B", "password": "12345678"},
    ("POST", "/users/login"): {"email": "a@b.example", "password": "12345678"},
    ("POST", "/users/refresh"): {"refresh_token": "x"},
    ("POST", "/items"): {"name": "Hat", "size": "M", "price": 1, "stock_quantity": 1},
    ("PATCH", "/items/1"): {"name": "Hat", "size": "M", "price": 1},
    ("POST", "/items/1/stock"): {"delta": 1, "reason": "found"},
    ("PUT", "/cart/items/1"): {"quantity": 1},
    ("POST", "/coupons"): {
        "name": "Off",
        "kind": "fixed",
        "discount_amount": 1,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2027-01-01T00:00:00Z",
        "quantity": 1,
        "per_user_limit": 1,
        "floor_price": 1,
    },
    ("POST", "/coupons/1/grants"): {"user_ids": [2]},
    ("POST", "/quotes"): {"lines": [{"item_id": 1, "quantity": 1}], "best_coupons": False},
    ("POST", "/orders"): {"lines": [{"item_id": 1, "quantity": 1, "unit_price": SHIRT_PRICE}]},
    ("POST", "/payments"): {"order_id": NOBODY, "method": "card", "payment_key": "x", "payment_id": NOBODY},
    ("POST", "/payments/intents"): {"amount": 1},
    ("POST", f"/payments/{NOBODY}/refund"): {"amount": 1},
    ("POST", f"/ops/payments/{NOBODY}/resolve"): {"as": "kept", "reason": "found"},
    ("POST", "/points/charge"): {"amount": 1, "payment_key": "x", "payment_id": NOBODY},
    ("POST", "/users/1/points"): {"delta": 1, "reason": "found"},
}
FREE_TEXT = {"name", "size", "address", "password", "email", "reason", "refresh_token"}
MAY_BE_LEFT_OUT = {"size", "quantity", "per_user_limit", "floor_price", "payment_key", "payment_id"}
TAKES_BELOW_ZERO = {"delta"}


def test_a_value_that_no_field_takes(send: Send, admin: Headers, subtests: pytest.Subtests) -> None:
    """One field at a time is replaced in a body that is good otherwise; the problem names that field."""
    for (method, path), good in GOOD.items():
        for field in good:
            for value in BEYOND:
                if _may_do(field, value):
                    continue
                with subtests.test(door=f"{method} {path}", field=field, value=str(value)[:20]):
                    body = json.dumps(good | {field: value}).encode()
                    problem = send(method, path, 400, 422, content=body, headers=_headers(admin))
                    assert any(error.field.startswith(field) for error in problem.errors), problem


def _may_do(field: str, value: object) -> bool:
    """Whether a value may be taken for this field after all, or is no more than a wrong password."""
    if field == "best_coupons":
        return value is True
    if value is None:
        return field in MAY_BE_LEFT_OUT
    if field in TAKES_BELOW_ZERO and value == -1:
        return True
    if field == "payment_key":  # whatever the payment gateway's widget gives: any visible characters
        return value == "1"
    return field in FREE_TEXT and isinstance(value, str)


def test_numbers_out_of_the_world_in_paths_and_queries(send: Send, admin: Headers) -> None:
    for number in (2**63, 10**40, "0x1", "1e3", "\uff11"):
        for path in ("/items/{}", "/coupons/{}/uses", "/items/{}/stock-history"):
            send("GET", path.format(number), 404, headers=admin)
        for query in ("/items?ids={}", "/items?after={}", "/users?after={}", "/items?limit={}"):
            send("GET", query.format(number), 400, 422, headers=admin)
