"""Connections to RabbitMQ that come back: one per role, each with a name that says who it is.

A `Link` is one connection and what is set up on it. When it breaks, everything on it is given up and set up
anew as one unit, so that no half-restored consumer can be left behind (docs/adr/0003).
"""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory

from shared.broker.channel import Channel
from shared.broker.pulse import Pulse
from shared.errors import describe
from shared.logs import log
from shared.trouble import Trouble

CONNECT_SECONDS = 5.0
HEARTBEAT_SECONDS = 10
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
DEADLINE_SECONDS = 3.0
_AT_ONCE = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: do not wait until what was written is taken, but reset the connection."""

SetUp = Callable[[AbstractConnection], Awaitable[None]]
TearDown = Callable[[], Awaitable[None]]


class _Socket(TransportFactory):
    """Makes a connection's socket, and remembers it."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: Any, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """What the client library would make by itself."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **options)
        return reader, self._writer

    def abort(self) -> None:
        """Reset the connection: nothing that still waits here to be sent is to leave, now or later."""
        if self._writer is not None:
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._writer.transport.abort()


class _Connection(aio_pika.Connection):
    """A connection that remembers its channels, for a channel may break alone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._socket = self.kwargs["transport_factory"] = _Socket()
        self.pulse: Pulse | None = None
        self.opened: list[AbstractChannel] = []
        self.is_set_up = False
        """From then on channels are opened for a moment only, and not remembered."""

    def channel(self, *args: Any, **options: Any) -> AbstractChannel:
        channel = super().channel(*args, **options)
        if not self.is_set_up:
            self.opened.append(channel)
        return channel

    async def feel(self, deadline_s: float) -> Pulse:
        """Begin to notice whether the broker still says anything."""
        if self.transport is None:
            raise ConnectionError("the connection is closed")
        self.pulse = Pulse(self.transport.connection, await Channel.open(self), deadline_s)
        return self.pulse

    def abort(self) -> None:
        """Give up the connection without a goodbye, to which a broker that hangs has no answer."""
        self._socket.abort()

    def __del__(self) -> None:
        """Nothing: the link closes what it opened.

        The library would start to close a connection that never came up, from wherever the garbage collector
        happens to run, with or without an event loop.
        """


class Link:
    """One connection, kept up for as long as the process runs.

    `set_up` gets each fresh connection; `tear_down` is called when one is lost or closed. One on which the
    broker says nothing at all is given up, and made anew, within two deadlines of `deadline_s` seconds.
    """

    def __init__(self, url: str, name: str, *, deadline_s: float = DEADLINE_SECONDS) -> None:
        self.name = name
        self.trouble = Trouble(f"link {name}", "broker.link_failed")
        """Why it is down, and since when."""
        self._url = url
        self._deadline_s = deadline_s
        self._set_up: list[tuple[SetUp, TearDown]] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._lost_by = ""

    def use(self, set_up: SetUp, tear_down: TearDown) -> None:
        """Say what is to stand on this connection; before `start`."""
        self._set_up.append((set_up, tear_down))

    @property
    def is_up(self) -> bool:
        """Connected, and everything on it set up."""
        return self._up.is_set()

    def start(self) -> None:
        """Begin to connect, and to reconnect whenever it breaks."""
        self._task = asyncio.create_task(self._keep(), name=f"link {self.name}")

    async def wait_up(self, seconds: float) -> bool:
        """Wait until the link is up; False if it is not after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    def reset(self) -> None:
        """Give up the present connection and set everything up anew: some part of it has broken."""
        self._broken.set()

    async def stop(self) -> None:
        """Close the connection and do not come back."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    async def _keep(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._once()
                    failures = 0
                except Exception as error:  # whatever it was: without its link the process is deaf and mute
                    failures += 1
                    self.trouble.failed(f"{type(error).__name__}: {error}")
                pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
        finally:
            await self._let_go()

    async def _once(self) -> None:
        """Connect, set up, and stay until the connection breaks."""
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            connection = await aio_pika.connect(
                self._url,
                timeout=CONNECT_SECONDS,
                heartbeat=HEARTBEAT_SECONDS,
                client_properties={"connection_name": self.name},
                connection_class=_Connection,
            )
        self._connection = connection
        broken = self._broken = asyncio.Event()
        self._lost_by = "it was given up, to be set up anew"

        def lost(_: Any, error: BaseException | None) -> None:
            if error is not None:
                self._lost_by = f"{type(error).__name__}: {error}"
            broken.set()

        connection.close_callbacks.add(lost)
        watching: asyncio.Task[None] | None = None
        try:
            watching = asyncio.create_task(
                self._abort_when_lost(connection, await connection.feel(self._deadline_s))
            )
            async with asyncio.timeout(CONNECT_SECONDS * 6):
                for set_up, _ in self._set_up:
                    await set_up(connection)
                for channel in connection.opened:
                    await _watch(channel, broken)
                connection.is_set_up = True
            log.info("broker.link_up", link=self.name)
            self.trouble.over()
            self._up.set()
            await broken.wait()
            log.warning("broker.link_lost", link=self.name)
            self.trouble.failed(self._lost_by)
        finally:
            if watching is not None:
                watching.cancel()
            await self._let_go()

    async def _abort_when_lost(self, connection: _Connection, pulse: Pulse) -> None:
        await pulse.until_lost()
        log.warning("broker.link_silent", link=self.name)
        self._lost_by = "the broker said nothing at all"
        connection.abort()
        self._broken.set()

    async def _let_go(self) -> None:
        self._up.clear()
        for _, tear_down in self._set_up:
            try:
                await tear_down()
            except Exception as error:  # it may be broken already; the rest must go all the same
                log.debug("broker.tear_down_failed", link=self.name, **describe(error))
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.close()
            except Exception as error:  # a broken connection cannot say goodbye
                log.debug("broker.close_failed", link=self.name, **describe(error))


async def _watch(channel: AbstractChannel, broken: asyncio.Event) -> None:
    """Count the link as broken when the broker closes this channel, or cancels a consumer on it.

    Both happen while the connection lives on (a queue was deleted, its leader moved, an acknowledgement was
    late), and would leave a process that looks well and hears nothing.
    """
    if channel.is_closed:  # given up while it was being set up, in favour of another
        return
    channel.close_callbacks.add(lambda *_: broken.set())
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda *_: broken.set())
