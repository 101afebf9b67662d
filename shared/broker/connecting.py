"""Ways to RabbitMQ: one of the servers that a setting names, and a connection to it that knows its parts."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory

from shared.addresses import Server
from shared.broker.channel import Channel
from shared.broker.pulse import Pulse

CONNECT_SECONDS = 5.0
HURRY_SECONDS = 2.0
"""For one that says nothing, where there are others to try."""
HEARTBEAT_SECONDS = 10
_AT_ONCE = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: do not wait until what was written is taken, but reset the connection."""


async def connect(servers: Sequence[Server], name: str) -> "Connection":
    """A connection, called `name`, to the first of these that lets us in.

    Raises what the only one said, or `ConnectionError` with what each of them said.
    """
    failures: list[tuple[Server, Exception]] = []
    for number, server in enumerate(servers, 1):
        patience_s = CONNECT_SECONDS * 2 if number == len(servers) else HURRY_SECONDS
        try:
            async with asyncio.timeout(patience_s):
                connection = await aio_pika.connect(
                    server.url("amqps" if server.tls else "amqp"),
                    ssl_context=server.tls.context() if server.tls else None,
                    timeout=CONNECT_SECONDS,
                    heartbeat=HEARTBEAT_SECONDS,
                    client_properties={"connection_name": name},
                    connection_class=Connection,
                )
        except Exception as error:  # whatever is wrong with this one, the next may be well
            failures.append((server, error))
            continue
        connection.server = server
        return connection
    if len(failures) == 1:
        raise failures[0][1]
    said = "; ".join(f"{server}: {type(error).__name__}: {error}" for server, error in failures)
    raise ConnectionError(said)


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


class Connection(aio_pika.Connection):
    """A connection that remembers its channels, for a channel may break alone."""

    server: Server
    """To which server it leads."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._socket = self.kwargs["transport_factory"] = _Socket()
        self.pulse: Pulse | None = None
        self.opened: list[AbstractChannel] = []
        self.is_set_up = False
        """From then on channels are opened for a moment only, and not remembered."""

    def channel(self, *args: Any, **options: Any) -> AbstractChannel:
        """A channel; one that is opened while the link is being set up is remembered."""
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
