"""Every call over HTTP, from every service and from nobody: who may make it is let in, and nobody else is.

The services are here without broker and database. What is asked is malformed: who is let in is told so (400),
and who is not is refused before anybody has read it.
"""

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from shared.rpc.callers import OPERATOR, may_call
from shared.rpc.credentials import Signer, new_key, public_part
from shared.service.app import create_app
from shared.service.runtime import Runtime
from tests.contracts.house import SERVICES

ANSWERING = [name for name, service in SERVICES.items() if service.answers]
KEYS = {name: new_key(f"{name}-svc") for name in SERVICES} | {
    OPERATOR: new_key(OPERATOR),
    "migrate": new_key("migrate"),  # a user of the broker, and no service
}
STRANGER = new_key("item-svc")
NOWHERE = "mysql://nobody:nothing@127.0.0.1:1/nothing"
MALFORMED = b"[]"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module", params=ANSWERING)
async def asked(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Runtime, httpx.AsyncClient]]:
    """A service, and a way to its own port."""
    service = SERVICES[request.param]
    settings = service.settings(
        amqp_url="amqp://nobody:nothing@127.0.0.1:1/",
        database_url=NOWHERE,
        call_keys=" ".join(map(public_part, KEYS.values())),
        peers=f"{service.name}=http://{service.name}.shop:8000",
        service_hosts="shop.example",
    )
    runtime = Runtime(service, settings)
    transport = httpx.ASGITransport(cast(Any, create_app(service, settings, runtime)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8020") as client:
        yield runtime, client


Asked = tuple[Runtime, httpx.AsyncClient]


def bearing(key: str, service: str) -> dict[str, str]:
    """The head of a call in good order."""
    return {**JSON, "authorization": f"Bearer {Signer(lambda: key).token_for(service)}"}


async def refused(
    client: httpx.AsyncClient, call: str, status: int, head: dict[str, str], **more: Any
) -> str:
    """The call is refused, and why."""
    answer = await client.post(f"/calls/{call}", headers=head, **{"content": MALFORMED, **more})
    assert answer.status_code == status, (call, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


async def test_who_may_make_a_call_is_let_in_and_nobody_else(asked: Asked) -> None:
    runtime, client = asked
    name = runtime.service.name
    let_in = 0
    for caller, key in KEYS.items():
        head = bearing(key, name)
        for call in runtime.answering.names:
            if may_call(caller, call):
                await refused(client, call, 400, head)
                let_in += 1
            else:
                detail = await refused(client, call, 403, head)
                assert f"may not call {call}" in detail
    assert let_in >= len(runtime.answering.names)  # operators, at least


async def test_without_credentials_nobody_is_let_in(asked: Asked) -> None:
    runtime, client = asked
    name = runtime.service.name
    other = "payment" if name != "payment" else "item"
    for call in runtime.answering.names:
        for content in (MALFORMED, b"{}", b"{", b""):
            detail = await refused(client, call, 401, JSON, content=content)
            assert "./just call" in detail
        assert "signed by nobody" in await refused(client, call, 401, bearing(STRANGER, name))
        assert f"not for calls to {name}" in await refused(client, call, 401, bearing(KEYS[OPERATOR], other))


async def test_an_unknown_call_is_told_to_operators_alone(asked: Asked) -> None:
    runtime, client = asked
    name = runtime.service.name
    for call in (f"{name}.steal", "x", "other.steal"):
        await refused(client, call, 401, JSON)
        await refused(client, call, 403, bearing(KEYS["gateway"], name))
        detail = await refused(client, call, 404, bearing(KEYS[OPERATOR], name))
        assert all(known in detail for known in runtime.answering.names)


async def test_only_its_own_hosts_only_json_and_no_page_of_others(asked: Asked) -> None:
    runtime, client = asked
    name = runtime.service.name
    call = runtime.answering.names[0]
    head = bearing(KEYS[OPERATOR], name)
    for host in (
        "127.0.0.1:8020",
        "localhost",
        "LOCALHOST:1",
        "[::1]:8020",
        f"{name}.shop:8000",
        "shop.example",
    ):
        await refused(client, call, 400, {**head, "host": host})
    for host in (
        "evil.example",
        "evil.example:8020",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104
        "[",
        ":",
        "",
    ):
        assert "SHOP_SERVICE_HOSTS" in await refused(client, call, 421, {**head, "host": host})
    for origin in ("http://evil.example", "null", "https://127.0.0.1:8021", "file://", ""):
        await refused(client, call, 403, {**head, "origin": origin})
    await refused(client, call, 400, {**head, "origin": "http://127.0.0.1:8020"})
    for kind in (
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "x",
    ):
        await refused(client, call, 415, {**head, "content-type": kind})
    for kind in ("application/json; charset=UTF-8", 'APPLICATION/JSON;charset="utf-8"'):
        await refused(client, call, 400, {**head, "content-type": kind})
    bare = {key: value for key, value in head.items() if key != "content-type"}
    await refused(client, call, 415, bare)
