"""Messages as strangers publish them, whose properties no library of ours would write or can read."""

import asyncio
import base64
import struct

import aio_pika
from pamqp import commands as amqp

from shared.broker.channel import Channel
from shared.broker.frames import _FRAME

HEADERS, TIMESTAMP, MESSAGE_ID = 1 << 13, 1 << 6, 1 << 7

MICROSECONDS = struct.pack(">HQ", TIMESTAMP, 1_700_000_000_000_000)
"""A time in microseconds, as some clients write it."""
NAME_NO_TEXT = struct.pack(">HI", HEADERS, 5) + b"\x02\xff\xfe" + b"t\x01"
"""A header whose name is no UTF-8."""
ID_NO_TEXT = struct.pack(">H", MESSAGE_ID) + b"\x02\xff\xfe"
"""A message id that is no UTF-8."""


def octets_of(properties: bytes) -> str:
    """How the raw octets of properties are shown."""
    return base64.b64encode(properties).decode()


async def publish(url: str, exchange: str, key: str | bytes, body: bytes, properties: bytes) -> None:
    """Publish a message with these raw properties, confirmed; under a key that may be no text either."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await Channel.open(connection, confirms=True)
        number = channel._number
        header = struct.pack(">HHQ", 60, 0, len(body)) + properties
        octets = key.encode() if isinstance(key, str) else key
        names = b"".join(bytes((len(one),)) + one for one in (exchange.encode(), octets))
        method = struct.pack(">IH", amqp.Basic.Publish.index, 0) + names + b"\x01"
        frames: list[bytes] = []
        for kind, payload in ((1, method), (2, header), (3, body)):
            frames += [_FRAME.pack(kind, number, len(payload)), payload, b"\xce"]
        confirmed = asyncio.get_running_loop().create_future()
        channel._published += 1
        channel._unconfirmed[channel._published] = "", confirmed
        channel._outlet.write(b"".join(frames))
        async with asyncio.timeout(5):
            await confirmed
