"""A name that nobody knows is a mistake, told with the names there are: in bodies, queries and forms."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler
from msgspec import inspect

from gateway.console.forms import refuse_unknown
from gateway.routes import shop
from order_svc.contracts import LineRequest
from shared.errors import RuleBroken
from tests.gateway.fakes import FakeRpc
from tests.gateway.test_hostile import LINE, ORDER, is_problem
from user_svc.contracts import GetKeys

FOREIGN = {"take_notice"}
"""Bodies whose shape another system decides."""


def handlers() -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Every handler of the shop, and the path that leads to it."""
    for route in shop.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.http_methods == {"OPTIONS"}:  # what the framework adds, to answer OPTIONS
                continue
            yield route.path, handler


def structs(info: Any) -> Iterator[type[msgspec.Struct]]:
    """A body's type and all those inside it."""
    if isinstance(info, inspect.StructType):
        yield info.cls
    inner = [field.type for field in getattr(info, "fields", ())]
    inner += [getattr(info, name) for name in ("type", "item_type", "value_type") if hasattr(info, name)]
    for one in [*inner, *getattr(info, "types", ())]:
        yield from structs(one)


def test_every_body_knows_all_its_fields() -> None:
    seen = 0
    for path, handler in handlers():
        data = handler.parsed_fn_signature.parameters.get("data")
        if data is None or str(handler.operation_id) in FOREIGN:
            continue
        for kind in structs(inspect.type_info(data.annotation)):
            seen += 1
            assert kind.__struct_config__.forbid_unknown_fields, f"{kind.__name__} of {path}"
    assert seen > 20


def test_contracts_between_services_go_on_overlooking() -> None:
    assert not LineRequest.__struct_config__.forbid_unknown_fields


async def test_every_route_knows_all_its_parameters(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    seen = 0
    for path, handler in handlers():
        [method] = handler.http_methods - {"OPTIONS"}
        path = "/" + "/".join("1" if part.startswith("{") else part for part in path.strip("/").split("/"))
        answer = await client.request(method, f"{path}?stauts=FAIL", headers=admin)
        problem = is_problem(answer, 422)
        assert [error["field"] for error in problem["errors"]] == ["stauts"], path
        assert problem["errors"][0]["message"].startswith("is not known; ")
        seen += 1
    assert seen > 55


async def test_the_parameters_there_are_are_named(client: httpx.AsyncClient, buyer: dict[str, str]) -> None:
    answer = await client.get("/orders?stauts=FAIL&limti=3&limit=2", headers=buyer)
    errors = is_problem(answer, 422)["errors"]
    assert [error["field"] for error in errors] == ["limti", "stauts"]
    assert "limit" in errors[0]["message"]
    answer = await client.get("/users/me?x=1", headers=buyer)
    assert is_problem(answer, 422)["errors"][0]["message"] == "is not known; there are none here"


@pytest.mark.parametrize("key", [False, True], ids=["the short way", "with a key"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (ORDER | {"pay_wiht": "points"}, "pay_wiht"),
        ({"lines": [LINE, LINE | {"user_coupon_id": [1]}]}, "lines[1].user_coupon_id"),
    ],
)
async def test_a_mistyped_order_is_not_placed(
    client: httpx.AsyncClient, rpc: FakeRpc, buyer: dict[str, str], body: Any, field: str, key: bool
) -> None:
    headers = buyer | ({"Idempotency-Key": "k"} if key else {})
    problem = is_problem(await client.post("/orders", json=body, headers=headers), 422)
    [error] = problem["errors"]
    assert error["field"] == field
    assert "pay_with" in error["message"] or "user_coupon_ids" in error["message"]
    assert all(isinstance(call, GetKeys) for call in rpc.calls)


def test_a_form_knows_its_fields() -> None:
    refuse_unknown(["form_token", "reason"], ["reason", "form_token"])
    with pytest.raises(RuleBroken) as refused:
        refuse_unknown(["reason", "resaon"], ["reason", "form_token"])
    [error] = refused.value.errors
    assert error.field == "resaon"
    assert "reason" in error.message
    assert "form_token" not in error.message


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", "UTF8", '"utf-8"', "Utf_8", "u8"])
async def test_utf_8_in_any_spelling_is_json(
    client: httpx.AsyncClient, buyer: dict[str, str], charset: str
) -> None:
    body = json.dumps({"lines": []}).encode()
    headers = buyer | {"Content-Type": f"application/json; charset={charset}"}
    is_problem(await client.post("/orders", content=body, headers=headers), 422)
