"""The description of the routes and its page: complete, consistent, and shown without any other host."""

import re
from typing import Any

import httpx
import pytest

Client = httpx.AsyncClient


@pytest.fixture
async def document(client: Client) -> dict[str, Any]:
    """What `/openapi.json` answers."""
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    return response.json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation with its method and path."""
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def nodes(part: Any) -> Any:
    """All objects within a document."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from nodes(inner)


async def test_it_is_of_a_version_that_the_page_can_show(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.0.3"
    for node in nodes(document):
        assert not isinstance(node.get("type"), list)
        assert {"type": "null"} not in [*node.get("oneOf", []), *node.get("anyOf", [])]
        assert not isinstance(node.get("const"), str)
        assert node.get("required") != []


async def test_every_route_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found) >= 26
    for method, path, operation in found:
        assert operation["summary"], path
        assert operation["description"], path
        assert len(operation["tags"]) == 1, path
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"400", "429", "503"} <= errors.keys()
        assert all("application/problem+json" in answer["content"] for answer in errors.values())
        assert ("requestBody" in operation) == ("413" in errors) == ("415" in errors), (method, path)
        assert ("security" in operation) == ("401" in errors) or path.startswith(
            ("/users/", "/payments/pg/")
        ), (method, path)


async def test_all_references_lead_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for node in nodes(document):
        if isinstance(reference := node.get("$ref"), str):
            assert reference.removeprefix("#/components/schemas/") in schemas


async def test_limits_are_described_as_they_are_enforced(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["OrderRequest"]["properties"]["lines"]["maxItems"] == 2000
    quantity = schemas["OrderLine"]["properties"]["quantity"]
    assert (quantity["minimum"], quantity["maximum"]) == (1, 1_000_000)
    price = schemas["OrderLine"]["properties"]["unit_price"]
    assert (price["minimum"], price["maximum"]) == (0, 10**12)


async def test_only_what_must_be_sent_is_required(document: dict[str, Any]) -> None:
    bodies = {
        (method, path): operation["requestBody"]["required"]
        for method, path, operation in operations(document)
        if "requestBody" in operation
    }
    assert [door for door, required in bodies.items() if not required] == [
        ("post", "/payments/{payment_id}/refund")
    ]
    resolving = document["components"]["schemas"]["ResolveRequest"]
    assert resolving["properties"].keys() == {"as", "reason"}
    assert resolving["properties"]["as"]["enum"] == ["kept", "not_charged", "returned"]


async def test_the_page_names_no_other_host(client: Client) -> None:
    page = await client.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert "http" not in page.text
    assert "default-src 'none'; script-src 'self';" in page.headers["content-security-policy"]
    assert not re.search(r"<script>|<style|style=| on\w+=", page.text)
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) == 4
    for path in linked:
        asset = await client.get(path)
        assert (asset.status_code, len(asset.content) > 100) == (200, True), path
    style = await client.get("/docs/swagger-ui.css")
    assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", style.text)
