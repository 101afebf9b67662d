"""Every answer tells browsers what they may do with it; pages of other sites read what settings allow."""

import asyncio
import re
from typing import Any, cast

import httpx
import pytest
import uvicorn

from gateway.door.headers import ALWAYS
from gateway.service import service
from gateway.settings import GatewaySettings, origins
from item_svc import contracts as item
from shared.service.app import connections
from shared.settings import WrongSettings, load
from tests.gateway.fakes import FakeRpc, Signer, gateway
from tests.gateway.test_routes import SHIRT
from tests.support.ports import free_port
from tests.support.waiting import eventually

SHOP = "https://shop.example"
ASKING = {"Origin": SHOP}


def asking(rpc: FakeRpc | None = None, **settings: Any) -> httpx.AsyncClient:
    """A client of a gateway with these settings."""
    app = gateway(rpc or FakeRpc(), Signer(), **settings)
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://shop.test")


def check_always(answer: httpx.Response) -> None:
    names = [name for name, _ in answer.headers.raw]
    assert len({name.lower() for name in names}) == len(names), names
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src 'unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "cache-control" in answer.headers


async def test_every_kind_of_answer_has_them() -> None:
    async with asking() as client:
        for method, path, status in (
            ("GET", "/livez", 200),
            ("GET", "/docs", 200),
            ("GET", "/docs/start.js", 200),
            ("GET", "/asyncapi", 200),
            ("GET", "/console/sign-in", 200),
            ("GET", "/console/orders", 303),
            ("GET", "/console/static/console.css", 200),
            ("GET", "/nowhere", 404),
            ("POST", "/items", 401),
            ("DELETE", "/livez", 405),
            ("GET", "/items/1", 503),
            ("POST", "/users/login", 400),
            ("OPTIONS", "/orders", 204),
            ("BREW", "/orders", 405),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == status, (method, path, answer.text)
            check_always(answer)


async def test_what_may_be_kept_says_so_and_all_else_is_not_kept() -> None:
    rpc = FakeRpc()
    rpc.answers[item.GetItem] = lambda _: SHIRT
    async with asking(rpc) as client:
        assert (await client.get("/livez")).headers["cache-control"] == "no-store"
        assert (await client.get("/users/me")).headers["cache-control"] == "no-store"
        assert (await client.get("/items/1")).headers["cache-control"] == "private, no-cache"
        assert "max-age" in (await client.get("/docs/start.js")).headers["cache-control"]


async def test_https_is_insisted_on_where_there_is_https() -> None:
    told = {"X-Forwarded-Proto": "https"}
    async with asking(trusted_proxies="127.0.0.1") as client:
        assert "strict-transport-security" not in (await client.get("/livez")).headers
        assert "max-age" in (await client.get("/livez", headers=told)).headers["strict-transport-security"]
    async with asking() as client:  # anybody may say so
        assert "strict-transport-security" not in (await client.get("/livez", headers=told)).headers


async def test_nobodys_pages_read_answers_unless_they_are_named() -> None:
    async with asking() as client:
        answer = await client.get("/livez", headers=ASKING)
        assert not any(name.startswith("access-control") for name in answer.headers)
    async with asking(cors_origins=f"{SHOP} http://localhost:3000") as client:
        for origin, allowed in (
            (SHOP, True),
            ("http://localhost:3000", True),
            ("https://shop.example.evil.test", False),
            ("http://shop.example", False),
            ("null", False),
            ("", False),
        ):
            for path in ("/livez", "/nowhere", "/users/me"):
                answer = await client.get(path, headers={"Origin": origin})
                check_always(answer)
                assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
                assert answer.headers["vary"] == "Origin"
                assert "access-control-allow-credentials" not in answer.headers
        exposed = (await client.get("/livez", headers=ASKING)).headers["access-control-expose-headers"]
        assert {"ETag", "Location", "Retry-After"} <= set(exposed.split(", "))
        console = await client.get("/console/sign-in", headers=ASKING)
        assert "access-control-allow-origin" not in console.headers
        assert console.headers["vary"] == "Accept, Origin"


async def test_a_browser_that_asks_first_is_told() -> None:
    wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}
    async with asking(cors_origins=SHOP) as client:
        answer = await client.options("/orders", headers=ASKING | wish)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"]
        assert {"Authorization", "Idempotency-Key", "If-Match", "Prefer"} <= set(allowed.split(", "))
        assert answer.headers["access-control-max-age"] == "600"
        other = await client.options("/orders", headers={"Origin": "https://evil.test"} | wish)
        assert not any(name.startswith("access-control") for name in other.headers)
        plain = await client.options("/orders", headers=ASKING)
        assert "access-control-allow-methods" not in plain.headers


@pytest.mark.parametrize(
    "wrong",
    ["*", "shop.example", "https://shop.example/", "https://SHOP.example", "https://a b", "ftp://a", "null"],
)
def test_what_is_no_origin_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(WrongSettings, match=r"SHOP_CORS_ORIGINS=.*https://shop.example"):
        load(GatewaySettings, {"SHOP_CORS_ORIGINS": wrong})


def test_origins_are_lists() -> None:
    assert origins("") == frozenset()
    assert origins("https://a.test,http://b:1  http://[::1]:3000") == {
        b"https://a.test",
        b"http://b:1",
        b"http://[::1]:3000",
    }


async def test_head_is_answered_as_get_is() -> None:
    rpc = FakeRpc()
    rpc.answers[item.GetItem] = lambda _: SHIRT
    async with asking(rpc) as client:
        for path in (
            "/items/1",
            "/livez",
            "/docs",
            "/nowhere",
            "/users/me",
            "/console/sign-in",
            "/openapi.json",
        ):
            whole, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (whole.status_code, b""), path
            assert dict(head.headers) == dict(whole.headers), path


async def test_refusals_before_any_work_have_them_too() -> None:
    """What the server answers by itself: no HTTP, a head too large or too slow, too many connections."""
    settings = GatewaySettings(cors_origins=SHOP, http_head_s=0.2, http_connections=1)
    limited = connections(service, settings)
    port = free_port()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing reaches the app")

    config = uvicorn.Config(
        app, port=port, http=limited.protocol(), lifespan="off", log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([config.bind_socket()]))
    await eventually(lambda: asyncio.sleep(0, server.started))

    async def talk(said: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer

    try:
        slow = asyncio.create_task(talk(b"GET / HT"))
        await eventually(lambda: asyncio.sleep(0, len(limited.open) == 1))
        answers = {503: await talk(b""), 408: await slow}
        answers |= {400: await talk(b"\x16\x03 hello\r\n\r\n"), 431: await talk(b"GET /" + b"x" * 70_000)}
        limited.refuses = lambda method, target: True
        order = b"POST /orders HTTP/1.0\r\norigin: https://shop.example\r\n\r\n"
        refused = await talk(order)
    finally:
        server.should_exit = server.force_exit = True
        await running
    for status, answer in [*answers.items(), (503, refused)]:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        for name, value in ALWAYS.items():
            assert head.count(b"%b: %b" % (name, value)) == 1
        assert b"cache-control: no-store" in head
        assert b"content-type: application/problem+json" in head
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        assert int(length[1]) == len(body)
        assert b'"status":%d' % status in body
    assert b"access-control-allow-origin: https://shop.example" in refused
    assert b"access-control-expose-headers: " in refused
