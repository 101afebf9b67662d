"""A TCP proxy in front of a server that tests can cut off, stall and heal: networks fail in both ways."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from tests.support.ports import free_port

CHUNK = 65536


class Proxy:
    """Forwards a port of its own to a server, as long as it is allowed to."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.connections = 0
        """How many connections have been accepted so far."""
        self.lose_answer_to: Callable[[bytes], bool] = lambda _: False
        """What a client sends is shown here; once True, it is passed on and the answer never comes back."""

    async def open(self) -> None:
        """Listen, after a `cut` on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Break every connection, and refuse new ones until `heal`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.break_connections()
        self._flowing.set()  # what a stall has held back goes down with its connection
        if self._pumps:
            await asyncio.wait(self._pumps)

    def break_connections(self) -> None:
        """Break every connection there is; new ones are welcome."""
        for writer in list(self._writers):
            writer.transport.abort()

    def stall(self) -> None:
        """Keep every connection open, accept new ones, and pass nothing on."""
        self._flowing.clear()

    async def heal(self) -> None:
        """Pass on again, and accept again."""
        self.lose_answer_to = lambda _: False
        self._flowing.set()
        if self._server is None:
            await self.open()

    def via(self, url: str) -> str:
        """`url` with this proxy in the place of its server."""
        parts = urlsplit(url)
        login = f"{parts.username}:{parts.password}@" if parts.username else ""
        return urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{self.port}"))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        try:
            await self._flowing.wait()
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there_writer)
        muted = asyncio.Event()
        try:
            await asyncio.gather(
                self._pump(reader, there_writer, muted, outgoing=True),
                self._pump(there_reader, writer, muted, outgoing=False),
            )
        finally:
            for one in (writer, there_writer):
                self._writers.discard(one)
                one.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        muted: asyncio.Event,
        *,
        outgoing: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                if outgoing and self.lose_answer_to(data):
                    muted.set()
                if muted.is_set() and not outgoing:
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the server that `url` names."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    proxy = Proxy(parts.hostname, parts.port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.cut()
