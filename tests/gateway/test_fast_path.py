"""Placing an order goes a short way through the framework; nobody can tell it from the long one."""

import re
from typing import Any

import httpx
import msgspec
import pytest

from order_svc.contracts import GetOrder, OrderView, PlaceOrder
from shared.errors import Conflict, OutcomeUnknown, Problem, Unavailable
from tests.gateway.fakes import FakeRpc
from tests.gateway.test_orders import ORDER, view

LONG_WAY = {"Idempotency-Key": "a-key"}
GOOD = msgspec.json.encode(ORDER)
LINE: dict[str, Any] = ORDER["lines"][0]

BODIES = {
    "good": GOOD,
    "with what is not known": msgspec.json.encode(ORDER | {"note": "please"}),
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"lines": "\xff"}',
    "too deep": b"[" * 5000 + b"]" * 5000,
    "a key twice": b'{"lines": [], "lines": []}',
    "no lines": b'{"lines": []}',
    "too many lines": msgspec.json.encode({"lines": [LINE] * 2001}),
    "too large": b'{"lines": [' + b" " * (1024 * 1024) + b"]}",
    "a text for a number": msgspec.json.encode({"lines": [LINE | {"quantity": "2"}]}),
    "two bad fields": msgspec.json.encode({"lines": [LINE | {"quantity": 0, "unit_price": -1}]}),
    "a way to pay that there is not": msgspec.json.encode(ORDER | {"pay_with": "gold"}),
}
HEADERS: dict[str, dict[str, str]] = {
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "another charset": {"Content-Type": "application/json; charset=latin-1"},
    "no token": {"Authorization": ""},
    "a bad token": {"Authorization": "Bearer x.y.z"},
    "a wait": {"Prefer": "respond-async, wait=1"},
    "a wait that is none": {"Prefer": "wait=soon"},
}
PROBLEMS: list[Problem] = [
    Conflict("Not now."),
    Unavailable("The order service is away.", retry_after=7),
    OutcomeUnknown("Nobody knows."),
]


@pytest.fixture(autouse=True)
def _orders(rpc: FakeRpc) -> None:
    rpc.answers[PlaceOrder] = lambda call: view(call.order_id)
    rpc.answers[GetOrder] = lambda call: view(call.order_id, status="FAIL", settled=True)


async def both_ways(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes = GOOD, path: str = "/orders"
) -> httpx.Response:
    """The answer of the short way, which is the answer of the long one but for ids and times."""
    sent = {"Content-Type": "application/json", **headers}
    short = await client.post(path, content=body, headers=sent)
    long = await client.post(path, content=body, headers=sent | LONG_WAY)
    assert _told(short) == _told(long)
    return short


def _told(response: httpx.Response) -> tuple[int, dict[str, str], str]:
    hidden = re.compile(r"[0-9a-f-]{36}|\d{4}-\d\d-\d\dT[\d:.]+Z")
    headers = {name: hidden.sub("*", value) for name, value in response.headers.items()}
    return response.status_code, headers, hidden.sub("*", response.text)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_every_body_gets_the_same_answer(
    client: httpx.AsyncClient, buyer: dict[str, str], body: bytes
) -> None:
    response = await both_ways(client, buyer, body)
    assert response.status_code in (202, 400, 413, 422)


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
async def test_headers_mean_the_same(
    client: httpx.AsyncClient, buyer: dict[str, str], headers: dict[str, str]
) -> None:
    await both_ways(client, buyer | headers)


@pytest.mark.parametrize("query", ["?a=1", "?a=1&a=2", "?q=%ff"])
async def test_a_query_that_says_nothing_is_tidy_or_refused(
    client: httpx.AsyncClient, buyer: dict[str, str], query: str
) -> None:
    await both_ways(client, buyer, path=f"/orders{query}")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
async def test_what_the_order_service_refuses_is_told_alike(
    client: httpx.AsyncClient, rpc: FakeRpc, buyer: dict[str, str], problem: Problem
) -> None:
    def refuse(_: PlaceOrder) -> OrderView:
        raise problem

    rpc.answers[PlaceOrder] = refuse
    assert (await both_ways(client, buyer)).status_code == problem.status


async def test_a_defect_is_told_alike(client: httpx.AsyncClient, rpc: FakeRpc, buyer: dict[str, str]) -> None:
    def break_down(_: PlaceOrder) -> OrderView:
        raise RuntimeError("broken")

    rpc.answers[PlaceOrder] = break_down
    assert (await both_ways(client, buyer)).status_code == 500


class TestLimited:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"rate_limit": "2/minute"}

    async def test_both_ways_count_against_the_same_limit(
        self, client: httpx.AsyncClient, buyer: dict[str, str]
    ) -> None:
        headers = buyer | {"Content-Type": "application/json"}
        statuses = [
            (await client.post("/orders", content=GOOD, headers=headers | more)).status_code
            for more in ({}, LONG_WAY, {}, LONG_WAY)
        ]
        assert statuses == [202, 202, 429, 429]
