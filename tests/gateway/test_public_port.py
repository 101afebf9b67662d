"""What strangers find on the public port: the public's routes, and nothing that grows by their asking."""

import gc
import random
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway.door.guards import door_of
from gateway.service import service
from gateway.settings import GatewaySettings
from shared.rpc import wire
from shared.rpc.answering import Answering
from shared.service.app import create_app, create_public_app
from shared.service.describe import describe_call
from tests.contracts.house import SERVICES
from tests.gateway.fakes import FakeRpc, FakeRuntime, Signer, described, gateway
from user_svc.contracts import GetKeys

INNER = ("/calls/gateway.describe", "/calls/payment.charge", "/calls", "/metrics")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")


def spellings(path: str) -> Iterator[str]:
    """A path, and what some servers take for the same."""
    yield path
    yield path + "/"
    yield "/" + path
    yield path.replace("/", "//")
    yield path.upper()
    yield "/%" + f"{ord(path[1]):02x}" + path[2:]
    yield path.replace("/", "/%2e/")
    yield "/docs/.." + path
    yield "/docs/%2e%2e" + path
    yield "/docs/..%2f" + path[1:]
    yield "/console/.." + path
    yield path + "%00"
    yield path + ";x=1"
    yield path + "?x=1"
    yield "/livez" + path
    yield "/%5c" + path[1:]


async def ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
    """A request with just this path, which the client must not put in order."""
    url = httpx.URL(scheme="http", host="shop.test", raw_path=path.encode())
    return await client.request(method, url, **more)


@pytest.mark.parametrize("path", INNER)
async def test_what_is_inside_is_not_there_however_it_is_spelled(
    client: httpx.AsyncClient, path: str
) -> None:
    for spelling in spellings(path):
        for method in METHODS:
            answer = await ask(client, method, spelling)
            assert answer.status_code in (404, 405, 303), f"{method} {spelling}: {answer.status_code}"
            if answer.status_code == 405:  # by a page of documents below which it was looked for
                assert spelling.startswith(("/docs", "/console")), spelling
            if answer.status_code == 303:  # the console shows everybody the way to its sign-in
                assert answer.headers["location"].startswith("/console/sign-in")


async def test_the_own_port_has_nothing_of_the_publics(signer: Signer) -> None:
    runtime = FakeRuntime(FakeRpc(), GatewaySettings())
    own = create_app(service, runtime.settings, cast(Any, runtime))
    public = create_public_app(service, runtime.settings, cast(Any, runtime))
    assert {route.path for route in own.routes} == {"/livez", "/readyz", "/metrics", "/calls/{name:str}"}
    assert not {route.path for route in public.routes} & {"/metrics", "/calls/{name:str}"}


async def test_strangers_are_not_told_what_is_wrong(signer: Signer) -> None:
    class Troubled(FakeRuntime):
        async def checks(self) -> dict[str, str]:
            return {"draining": "ok", "broker": "not connected: gateway#1 calls (10.0.0.7:5672 refused)"}

    runtime = Troubled(FakeRpc(), GatewaySettings())
    for make, said in ((create_public_app, "not ok"), (create_app, "not connected: gateway#1 calls")):
        app = make(service, runtime.settings, cast(Any, runtime))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, app)), base_url="http://x"
        ) as client:
            answer = await client.get("/readyz")
        assert answer.status_code == 200
        checks = answer.json()["checks"]
        assert checks["draining"] == "ok"
        assert checks["broker"].startswith(said)


async def test_messages_are_public_as_far_as_they_concern_the_public(
    client: httpx.AsyncClient, rpc: FakeRpc, admin: dict[str, str], buyer: dict[str, str]
) -> None:
    rpc.services = list(SERVICES)
    for name, one in SERVICES.items():
        rpc.answers[describe_call(name)] = lambda _, one=one: described(one)
    public = await client.get("/asyncapi.json")
    for inner in ("x-queue", "x-handler", "x-tap", "reserve_stock", "order.describe", "payment.open_account"):
        assert inner not in public.text, inner
    assert "order.placed" in public.text
    assert "order.place" in public.json()["channels"]["rpc.order"]["messages"]
    page = await client.get("/asyncapi")
    assert "reserve_stock" not in page.text
    assert "No consumers" not in page.text
    assert (await client.get("/ops/asyncapi.json")).status_code == 401
    assert (await client.get("/ops/asyncapi.json", headers=buyer)).status_code == 403
    whole = await client.get("/ops/asyncapi.json", headers=admin)
    assert "item_svc.events.reserve_stock" in whole.text
    assert "rpc.payment" in whole.json()["channels"]


def labels() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every series that is counted."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in REGISTRY.collect()
        for sample in family.samples
    }


async def test_no_series_and_no_memory_grows_with_what_strangers_send(signer: Signer) -> None:
    rpc = FakeRpc()
    app = gateway(rpc, signer, rate_limit="100000/second")
    rpc.answers[GetKeys] = lambda _: signer.keys()
    letters = random.Random(15)  # noqa: S311  no secret

    def word(length: int = 12) -> str:
        return "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789-_.~", k=length))

    async def hammer(client: httpx.AsyncClient) -> None:
        paths = ("/calls/{}", "/{}", "/items/{}", "/orders/{}", "/docs/{}", "/console/{}", "/items?{}=1")
        for number in range(300):
            await ask(
                client,
                letters.choice([*METHODS, word(5).upper()]),
                letters.choice(paths).format(word()),
                headers={
                    "host": f"{word()}.test",
                    "user-agent": word(200),
                    "content-type": f"{word()}/{word()}",
                    "authorization": f"Bearer {word()}.{word()}.{word()}",
                    "cookie": f"sagamart_console={word(60)}; {word()}={word()}",
                    "idempotency-key": word(),
                    "x-forwarded-for": f"10.{number % 250}.1.2",
                    "origin": f"https://{word()}.test",
                },
                content=word().encode(),
            )
            await client.post("/users/login", json={"email": f"{word()}@{word()}.test", "password": word()})

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cast(Any, app)), base_url="http://x"
    ) as client:
        await hammer(client)
        before = labels()
        gc.collect()
        objects = len(gc.get_objects())
        await hammer(client)
    grown = labels() - before
    assert not grown, sorted(grown)[:5]
    gc.collect()
    assert len(gc.get_objects()) - objects < 2000  # caches with a bound are filling up
    assert not door_of(app).tokens._known


async def test_calls_of_unknown_names_are_counted_as_one() -> None:
    answering = Answering((), cast(Any, None), None)
    for number in range(50):
        request = wire.Request(id=str(number), call=f"user.invented_{number}", data=cast(Any, b"{}"))
        outcome = await answering.answer(request)
        assert outcome is not None
        assert outcome.problem is not None
        assert outcome.problem.status == 404
    assert not [series for series in labels() if any("invented" in value for _, value in series[1])]
