"""Limits of time and number at the HTTP server: nothing half done lives for ever, and the log says so."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from msgspec.structs import replace

from shared.service import connections
from shared.service.connections import Connections, Limits
from tests.support.ports import free_port
from tests.support.waiting import eventually

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LIMITS = Limits(head_s=0.2, body_s=0.2, idle_s=0.2, most=100, most_of_address=50)
PATIENT = Limits(head_s=60, body_s=60, idle_s=60, most=100, most_of_address=50)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/` once the body is there, `/long` half a second later, `/much` with more than fits."""
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    if scope["path"] == "/long":
        await asyncio.sleep(0.5)
    body = b"x" * 20_000_000 if scope["path"] == "/much" else b"ok"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(limits: Limits) -> AsyncIterator[tuple[int, Connections]]:
    """The app on a port, its connections limited."""
    limited, port = Connections(limits), free_port()
    config = uvicorn.Config(
        app, port=port, http=limited.protocol(), lifespan="off", log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([config.bind_socket()]))
    await eventually(lambda: _now(server.started))
    try:
        yield port, limited
    finally:
        server.should_exit = server.force_exit = True
        await running


async def _now(value: Any) -> bool:
    return bool(value)


async def talk(port: int, *pieces: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """What is answered until the server closes, and after how many seconds it does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    for piece in pieces:
        if not reader.at_eof():
            writer.write(piece)
        await asyncio.sleep(pause)
    try:
        async with asyncio.timeout(5):
            said = await reader.read()
    finally:
        writer.close()
    return said, time.monotonic() - began


@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        pytest.param([], [b"408"], id="nothing at all"),
        pytest.param([b"GET / HTTP/1.1\r\nhost: "], [b"408"], id="half a head"),
        pytest.param([bytes([octet]) for octet in GET[:6]], [b"408"], id="a head octet by octet"),
        pytest.param([b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf"], [b"408"], id="half a body"),
        pytest.param([GET], [b"200"], id="idle"),
        pytest.param([GET, b"\r\n"], [b"200"], id="idle, but for an empty line"),
        pytest.param([GET, GET[:9]], [b"200", b"408"], id="half a head after a whole request"),
        pytest.param(
            [GET.replace(b"/", b"/long", 1)], [b"200"], id="an answer that takes long is waited for"
        ),
    ],
)
async def test_what_is_half_done_comes_to_an_end(pieces: list[bytes], statuses: list[bytes]) -> None:
    async with served(LIMITS) as (port, limited):
        pause = 0.03 if len(pieces) > 1 else 0.0
        said, seconds = await talk(port, *pieces, pause=pause)
        assert re.findall(rb"HTTP/1.1 (\d+)", said) == statuses
        assert 0.15 < seconds < 2.0
        assert limited.open == set()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"GET / HTTP/1.1\r\nx: ", *[b"x" * 16_000] * 5], id="one header"),
        pytest.param([b"GET / HTTP/1.1\r\n", *[b"x: y\r\n" * 3000] * 4], id="many headers"),
        pytest.param([b"GET /", *[b"x" * 16_000] * 5], id="a path"),
    ],
)
async def test_a_head_has_an_end(pieces: list[bytes]) -> None:
    async with served(PATIENT) as (port, limited):
        said, _ = await talk(port, *pieces, pause=0.01)
        assert said.startswith(b"HTTP/1.1 431 ")
        await eventually(lambda: _now(not limited.open))
        said, _ = await talk(port, GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert said.startswith(b"HTTP/1.1 200 ")


async def test_what_is_no_http_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    async with served(PATIENT) as (port, _):
        for _ in range(5):
            said, _ = await talk(port, b"\x16\x03\x01 hello\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 400 ")
    assert "Invalid HTTP" not in caplog.text


async def test_whoever_does_not_read_is_not_waited_for() -> None:
    async with served(LIMITS) as (port, limited):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET.replace(b"/", b"/much", 1))
        await eventually(lambda: _now(limited.open))
        await eventually(lambda: _now(not limited.open))
        writer.transport.abort()


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        pytest.param(replace(PATIENT, most=3), 3, id="in all"),
        pytest.param(replace(PATIENT, most_of_address=2), 5, id="not of this machine"),
        pytest.param(replace(PATIENT, most_of_address=2, counts_loopback=True), 2, id="of one address"),
        pytest.param(replace(PATIENT, most_of_address=0, counts_loopback=True), 5, id="of one address: any"),
    ],
)
async def test_connections_are_bounded_in_number(limits: Limits, kept: int) -> None:
    async with served(limits) as (port, limited):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(kept)]
        await eventually(lambda: _now(len(limited.open) == kept))
        if kept < 5:
            said, _ = await talk(port)
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after" in said
        reader, writer = held[0]
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")  # those that are open go on
        writer.close()
        await eventually(lambda: _now(len(limited.open) < kept))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")  # and there is room again
        for _, one in [*held, (reader, writer)]:
            one.close()


async def test_the_log_tells_of_a_flood_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []

    def hear(event: str, **fields: Any) -> None:
        if "too many" in fields:  # and not what a server of the test before still has to tell
            said.append(fields)

    monkeypatch.setattr(connections.log, "warning", hear)
    monkeypatch.setattr(connections, "SAY_EACH_S", 0.5)
    async with served(replace(PATIENT, most=1)) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(30):
            await talk(port)
        assert [one["too many"] for one in said] == [1]
        await eventually(lambda: _now(len(said) == 2))
        assert sum(one["too many"] for one in said) == 30
        writer.close()
