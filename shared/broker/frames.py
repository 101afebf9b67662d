"""A message as the bytes that go over the wire: AMQP 0-9-1's method, header and body frames.

The client library puts the same bytes together field by field, from a description of the protocol; here
whatever is the same for many messages is made once. Sections 2.3.5, 4.2.5 and 4.2.6 of the specification say
what a frame, its types and a content header look like.
"""

import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pamqp import encode
from pamqp.commands import Basic

_FRAME = struct.Struct(">BHI")
_METHOD, _HEADER, _BODY = 1, 2, 3
_END = b"\xce"
_AROUND = _FRAME.size + len(_END)
"""The octets of a frame around its payload."""

_CONTENT_HEADER = struct.Struct(">HHQH")
_CLASS_BASIC = 60
_TIME = struct.Struct(">Q")
# The properties that a message has, as bits of its header; their values follow in this order.
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _CORRELATION_ID = 1 << 15, 1 << 13, 1 << 12, 1 << 10
_REPLY_TO, _EXPIRATION, _MESSAGE_ID, _TIMESTAMP, _TYPE, _USER_ID, _APP_ID = (
    1 << 9,
    1 << 8,
    1 << 7,
    1 << 6,
    1 << 5,
    1 << 4,
    1 << 3,
)
_PERSISTENT = b"\x02"
_ACK = struct.Struct(">BHIIQ?B")
_ACK_SIZE = 13


class Address(NamedTuple):
    """Where a message goes."""

    exchange: str
    routing_key: str
    mandatory: bool
    """Whether it comes back if there is no queue for it."""


class Properties(NamedTuple):
    """What the broker, its management UI and the one who takes it are told of a message."""

    message_id: str
    type: str
    app_id: str
    timestamp: datetime
    content_type: str
    headers: bytes
    """A table, packed by `counted` or `table`."""
    is_persistent: bool = False
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration_ms: int | None = None
    """After so long the broker throws it away."""


@lru_cache(256)
def counted(count: int) -> bytes:
    """The headers of a message that says no more than how many are in it, `x-count`."""
    return table({"x-count": count})


def table(values: Mapping[str, Any]) -> bytes:
    """Headers as they are packed. Raises `TypeError` for what AMQP has no type for."""
    return encode.field_table(dict(values))


def packed(
    channel: int, address: Address, properties: Properties, body: bytes, frame_max: int, user_id: str
) -> bytes:
    """All frames of a message, its body cut so that none of them has more than `frame_max` octets.

    `user_id` says as whom the connection has signed in; the broker takes no other. Raises `ValueError` for a
    text of more than 255 octets, which AMQP has no room for.
    """
    flags = _CONTENT_TYPE | _HEADERS | _MESSAGE_ID | _TIMESTAMP | _TYPE | _USER_ID | _APP_ID
    values = [_known(properties.content_type), properties.headers]
    if properties.is_persistent:
        flags |= _DELIVERY_MODE
        values.append(_PERSISTENT)
    if properties.correlation_id is not None:
        flags |= _CORRELATION_ID
        values.append(_short(properties.correlation_id))
    if properties.reply_to is not None:
        flags |= _REPLY_TO
        values.append(_known(properties.reply_to))
    if properties.expiration_ms is not None:
        flags |= _EXPIRATION
        values.append(_short(str(properties.expiration_ms)))
    values.append(_short(properties.message_id))
    values.append(_TIME.pack(int(properties.timestamp.timestamp())))
    values.append(_known(properties.type))
    values.append(_known(user_id))
    values.append(_known(properties.app_id))
    header = _CONTENT_HEADER.pack(_CLASS_BASIC, 0, len(body), flags) + b"".join(values)
    return b"".join(
        (
            _publish(channel, address),
            _FRAME.pack(_HEADER, channel, len(header)),
            header,
            _END,
            *_body(channel, body, frame_max - _AROUND),
        )
    )


def acknowledgement(channel: int, number: int) -> bytes:
    """The frame that acknowledges one message."""
    return _ACK.pack(_METHOD, channel, _ACK_SIZE, Basic.Ack.index, number, False, _END[0])


def _body(channel: int, body: bytes, room: int) -> Iterator[bytes]:
    for start in range(0, len(body), room):
        part = body[start : start + room]
        yield _FRAME.pack(_BODY, channel, len(part))
        yield part
        yield _END


@lru_cache(1024)
def _publish(channel: int, address: Address) -> bytes:
    exchange, routing_key, mandatory = address
    method = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    payload = struct.pack(">I", method.index) + method.marshal()
    return _FRAME.pack(_METHOD, channel, len(payload)) + payload + _END


def _short(text: str) -> bytes:
    octets = text.encode()
    return bytes((len(octets),)) + octets


_known = lru_cache(1024)(_short)
"""The same for texts that stand in many messages."""
