"""A link that is cut, blocked, slowed and healed, with a server that echoes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import monotonic

import pytest

from ops.chaos.links import LATE_S, Link, Links
from ops.chaos.plan import What
from tests.support.ports import free_port

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link(free_port(), ("127.0.0.1", server.sockets[0].getsockname()[1]))
    await link.open()
    yield link
    await link.close()
    server.close()


@pytest.fixture
async def connect(link: Link) -> AsyncIterator[Connect]:
    """Connections through the link, closed afterwards."""
    writers: list[asyncio.StreamWriter] = []

    async def connected() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writers.append(writer)
        return reader, writer

    yield connected
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _echo(streams: Streams, text: bytes, within_s: float = 2.0) -> bytes:
    reader, writer = streams
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), within_s)


@pytest.mark.parametrize("what", [What.HOLE, What.MUTE])
async def test_what_a_blocked_link_holds_back_arrives_when_it_is_healed(
    link: Link, connect: Connect, what: What
) -> None:
    streams = await connect()
    assert await _echo(streams, b"before") == b"before"
    link.suffer(what)
    with pytest.raises(TimeoutError):
        await _echo(streams, b"during", 0.1)
    link.heal()
    assert await asyncio.wait_for(streams[0].readexactly(6), 2.0) == b"during"
    assert await _echo(streams, b"after") == b"after"


async def test_a_cut_breaks_connections_and_lets_no_new_one_in(link: Link, connect: Connect) -> None:
    streams = await connect()
    assert await _echo(streams, b"before") == b"before"
    link.suffer(What.CUT)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(streams[0].readexactly(1), 2.0)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await _echo(await connect(), b"during")
    link.heal()
    assert await _echo(await connect(), b"after") == b"after"


async def test_what_passes_a_slow_link_is_late_both_ways(link: Link, connect: Connect) -> None:
    streams = await connect()
    assert await _echo(streams, b"before") == b"before"
    link.suffer(What.DELAY)
    began = monotonic()
    assert await _echo(streams, b"late") == b"late"
    assert monotonic() - began >= 2 * LATE_S - 0.01
    link.heal()


async def test_a_narrow_link_lets_few_bytes_through(link: Link, connect: Connect) -> None:
    streams = await connect()
    assert await _echo(streams, b"before") == b"before"
    link.suffer(What.NARROW)
    began = monotonic()
    await _echo(streams, b"x" * 8_000)
    assert monotonic() - began >= 0.4


def test_each_service_has_a_link_of_its_own_to_each_server() -> None:
    links = Links(
        ["item", "order"], {"broker": ("a", 1), "database": ("b", 2)}, {"broker": 100, "database": 150}
    )
    assert [link.port for link in links.between("order", "database")] == [151]
    assert [link.port for link in links.between("all", "broker")] == [100, 101]
