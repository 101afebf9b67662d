"""Several nodes' management APIs: whoever answers is asked, and what may have been done is not done again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.operators.management import Management
from shared.errors import Unavailable
from tests.support.ports import free_port

AMQP = "amqp://broker.test/"


class Node:
    """Answers each request with one status and an empty list."""

    def __init__(self) -> None:
        self.status = 200
        self.port = 0
        self.asked: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode().partition(" HTTP")[0].partition("?")[0])
        writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 2\r\n\r\n[]".encode())
        writer.close()


@asynccontextmanager
async def node() -> AsyncIterator[Node]:
    one = Node()
    server = await asyncio.start_server(one.answer, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one


async def test_the_node_that_answers_is_asked_again() -> None:
    async with node() as ill, node() as well:
        ill.status = 503
        hosts = ",".join(f"127.0.0.1:{port}" for port in (ill.port, free_port(), well.port))
        management = Management(f"http://u:secret@{hosts}", AMQP)
        for _ in range(3):
            assert await management.standing() == ([], [])
        assert len(ill.asked) <= 1
        assert well.asked[:2] == ["GET /api/queues/%2F", "GET /api/bindings/%2F"]
        well.status = 500
        with pytest.raises(Unavailable) as told:
            await management.standing()
        assert "secret" not in told.value.detail


async def test_a_change_goes_on_only_from_one_that_took_no_connection() -> None:
    async with node() as first, node() as second:
        first.status = second.status = 500
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), first.port, second.port))
        with pytest.raises(Unavailable):
            await Management(f"http://u:p@{hosts}", AMQP).delete_queue("q")
        assert first.asked + second.asked == ["DELETE /api/queues/%2F/q"]
