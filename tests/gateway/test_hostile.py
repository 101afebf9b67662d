"""Whatever a client sends is answered with problem+json of the 4xx kind, and reaches no service."""

import json
from typing import Any

import httpx
import pytest

from tests.gateway.fakes import FakeRpc, Signer, gateway, raw_post
from user_svc.contracts import GetKeys

Client = httpx.AsyncClient
JSON = {"Content-Type": "application/json"}
LINE = {"item_id": 1, "quantity": 1, "unit_price": 100}
ORDER = {"lines": [LINE]}


def order(**changes: Any) -> bytes:
    """An order of one line, with some of its fields changed."""
    return json.dumps({"lines": [LINE | changes]}).encode()


def nested(depth: int) -> bytes:
    """An order with a deeply nested field that no one knows."""
    return b'{"lines":[{"item_id":1,"quantity":1,"unit_price":1}],"x":' + b"[" * depth + b"]" * depth + b"}"


BODIES = {
    "nothing": (b"", 400),
    "null": (b"null", 400),
    "a list": (b"[]", 400),
    "a number": (b"1", 400),
    "no json": (b"{lines", 400),
    "cut off": (b'{"lines":[{"item_id":1', 400),
    "trailing comma": (b'{"lines":[],}', 400),
    "two values": (b"{}{}", 400),
    "empty object": (b"{}", 400),
    "no lines": (b'{"lines":[]}', 422),
    "lines null": (b'{"lines":null}', 400),
    "lines object": (b'{"lines":{}}', 400),
    "line null": (b'{"lines":[null]}', 400),
    "too many lines": (json.dumps({"lines": [LINE] * 2001}).encode(), 422),
    "quantity bool": (order(quantity=True), 400),
    "quantity string": (order(quantity="1"), 400),
    "quantity float": (order(quantity=1.0), 400),
    "quantity exponent": (b'{"lines":[{"item_id":1,"quantity":1e3,"unit_price":1}]}', 400),
    "quantity null": (order(quantity=None), 400),
    "quantity zero": (order(quantity=0), 422),
    "quantity negative": (order(quantity=-1), 422),
    "quantity too large": (order(quantity=1_000_001), 422),
    "quantity huge": (b'{"lines":[{"item_id":1,"quantity":' + b"9" * 5000 + b',"unit_price":1}]}', 422),
    "quantity infinite": (b'{"lines":[{"item_id":1,"quantity":1e999,"unit_price":1}]}', 422),
    "not a number": (b'{"lines":[{"item_id":1,"quantity":NaN,"unit_price":1}]}', 400),
    "price negative": (order(unit_price=-1), 422),
    "price too large": (order(unit_price=10**12 + 1), 422),
    "item id zero": (order(item_id=0), 422),
    "item id beyond 63 bits": (order(item_id=2**63), 422),
    "coupons no list": (order(user_coupon_ids=1), 400),
    "coupon a string": (order(user_coupon_ids=["1"]), 400),
    "coupon negative": (order(user_coupon_ids=[-1]), 422),
    "pay_with unknown": (json.dumps(ORDER | {"pay_with": "cash"}).encode(), 422),
    "pay_with cash": (json.dumps(ORDER | {"pay_with": "cash"}).encode(), 422),
    "pay_with a number": (json.dumps(ORDER | {"pay_with": 1}).encode(), 400),
    "key twice": (b'{"lines":[{"item_id":1,"quantity":1,"quantity":2,"unit_price":1}]}', 400),
    "escaped key twice": (b'{"lines":[{"item_id":1,"quantity":1,"\\u0071uantity":2,"unit_price":1}]}', 400),
    "unknown key twice": (b'{"lines":[{"item_id":1,"quantity":1,"unit_price":1}],"x":1,"x":2}', 400),
    "utf-8 broken": (b'{"pay_with":"\xff","lines":[]}', 400),
    "utf-8 broken unread": (b'{"lines":[{"item_id":1,"quantity":1,"unit_price":1}],"x":"\xff"}', 400),
    "utf-16": (json.dumps(ORDER).encode("utf-16"), 400),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(ORDER).encode(), 400),
    "lone surrogate": (b'{"pay_with":"\\ud800","lines":[]}', 400),
    "raw NUL": (b'{"pay_with":"\x00","lines":[]}', 400),
    "escaped NUL unread": (
        b'{"lines":[{"item_id":1,"quantity":1,"unit_price":1}],"x":["\\u0000"]}',
        422,
    ),
    "deep": (nested(100_000), 400),
    "less deep": (nested(990), 400),
    "deep from the start": (b"[" * 500_000, 400),
    "too large": (b'{"x":"' + b"a" * (1024 * 1024) + b'"}', 413),
}


def is_problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that a response is, after checking that it is a proper one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES.keys())
async def test_a_bad_order_is_a_problem_and_reaches_no_service(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], body: bytes, status: int
) -> None:
    response = await client.post("/orders", content=body, headers=buyer | JSON)

    is_problem(response, status)
    assert [call for call in rpc.calls if not isinstance(call, GetKeys)] == []


async def test_every_bad_field_is_named(client: Client, buyer: dict[str, str]) -> None:
    body = {
        "lines": [{"item_id": "x", "quantity": 0}, LINE, LINE | {"user_coupon_ids": [1, "2"]}],
        "pay_with": "cash",
    }
    response = await client.post("/orders", json=body, headers=buyer)

    problem = is_problem(response, 400)
    assert [error["field"] for error in problem["errors"]] == [
        "lines[0].item_id",
        "lines[0].quantity",
        "lines[0].unit_price",
        "lines[2].user_coupon_ids[1]",
        "pay_with",
    ]


async def test_very_many_bad_fields_are_not_all_listed(client: Client, buyer: dict[str, str]) -> None:
    response = await client.post("/orders", json={"lines": [{}] * 2000}, headers=buyer)

    assert len(is_problem(response, 400)["errors"]) == 50


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/msgpack",
        "application/xml",
        "nonsense",
    ],
)
async def test_another_content_type_is_415(client: Client, buyer: dict[str, str], content_type: str) -> None:
    response = await client.post(
        "/orders", content=json.dumps(ORDER).encode(), headers=buyer | {"Content-Type": content_type}
    )
    is_problem(response, 415)


async def test_a_body_without_a_length_is_limited_too(
    rpc: FakeRpc, signer: Signer, buyer: dict[str, str]
) -> None:
    pieces = [{"type": "http.request", "body": b" " * 65_536, "more_body": True} for _ in range(17)]

    status, problem = await raw_post(gateway(rpc, signer), "/orders", buyer | JSON, pieces)

    assert (status, problem["type"]) == (413, "/problems/request-entity-too-large")


async def test_a_client_that_goes_away_within_its_body_is_no_fault_of_ours(
    rpc: FakeRpc, signer: Signer, buyer: dict[str, str]
) -> None:
    pieces = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    status, _ = await raw_post(gateway(rpc, signer), "/orders", buyer | JSON, pieces)

    assert status == 400


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=x",
        "limit=",
        "limit=1.0",
        "limit=1e1",
        "limit=1_0",
        "limit=%201",
        "limit=%2B1",
        "limit=%EF%BC%91",
        "limit=null",
        "limit=" + "9" * 5000,
        "limit=1&limit=2",
        "after=x",
        "after=-1",
        "after=",
        "after=1.0",
        "after=9223372036854775808",
        "after=0193e6a0-0000-7000-8000-000000000000",
        "q=",
        "q=" + "a" * 101,
        "q=%ff",
        "q=%C3%28",
        "q=a&q=b",
        "ids=",
        "ids=a",
        "ids=1,",
        "ids=1,,2",
        "ids=0",
        "ids=-1",
        "ids=1.0",
        "ids=%201",
        "ids=1;2",
        "ids=%C2%B2",
        "ids=9223372036854775808",
        "ids=" + "9" * 6000,
        "ids=1&ids=2",
        "ids=1&limit=5",
        "ids=1&q=a",
    ],
)
async def test_a_bad_query_is_never_ignored(client: Client, rpc: FakeRpc, query: str) -> None:
    is_problem(await client.get(f"/items?{query}"), 400)
    assert rpc.calls == []


async def test_too_many_ids_are_a_broken_rule(client: Client) -> None:
    ids = ",".join(str(number) for number in range(1, 202))
    assert is_problem(await client.get(f"/items?ids={ids}"), 422)["errors"][0]["field"] == "ids"


async def test_all_bad_parameters_are_named(client: Client) -> None:
    problem = is_problem(await client.get("/items?limit=0&after=x"), 400)
    assert [error["field"] for error in problem["errors"]] == ["limit", "after"]


@pytest.mark.parametrize(
    "path",
    [
        "/items/x",
        "/items/0",
        "/items/-1",
        "/items/1.0",
        "/items/1e0",
        "/items/1_0",
        "/items/+1",
        "/items/%201",
        "/items/%00",
        "/items/%ff",
        "/items/9223372036854775808",
        "/items/" + "9" * 5000,
        "/orders/not-a-uuid",
        "/orders/1",
        "/orders/%7B0193e6a0-0000-7000-8000-000000000000%7D",
        "/nothing",
        "/items/1/nothing",
        "/docs/index.html",
        "/docs/..%2f__init__.py",
    ],
)
async def test_a_path_that_names_nothing_is_404(
    client: Client, rpc: FakeRpc, buyer: dict[str, str], path: str
) -> None:
    is_problem(await client.get(path, headers=buyer), 404)
    assert [call for call in rpc.calls if not isinstance(call, GetKeys)] == []


async def test_a_wrong_method_is_405_and_names_the_right_ones(client: Client) -> None:
    response = await client.put("/items")

    is_problem(response, 405)
    assert {"GET", "POST"} <= {name.strip() for name in response.headers["allow"].split(",")}


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 256, "tab\tbed"])
async def test_a_bad_idempotency_key_is_400(client: Client, buyer: dict[str, str], key: str) -> None:
    headers: list[tuple[bytes, bytes]] = [(name.encode(), value.encode()) for name, value in buyer.items()]
    headers.append((b"Idempotency-Key", key.encode("latin-1")))
    is_problem(await client.post("/orders", json=ORDER, headers=headers), 400)


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@b.c", "name": "A", "address": "Street", "password": 12345678},
        {"email": None, "name": "A", "address": "Street", "password": "12345678"},
        {"email": "a@b.c", "name": "A", "address": "Street"},
        {"email": ["a@b.c"], "name": {}, "address": True, "password": "12345678"},
    ],
)
async def test_a_bad_sign_up_is_400(client: Client, rpc: FakeRpc, body: dict[str, Any]) -> None:
    assert is_problem(await client.post("/users", json=body), 400)["errors"]
    assert rpc.calls == []


async def test_a_NUL_in_a_name_is_refused(client: Client, rpc: FakeRpc) -> None:
    body = {"email": "a@b.c", "name": "A\0", "address": "Street", "password": "12345678"}
    problem = is_problem(await client.post("/users", json=body), 422)

    assert [error["field"] for error in problem["errors"]] == ["name"]
    assert rpc.calls == []
