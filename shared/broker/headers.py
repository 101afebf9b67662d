"""Properties and headers that nobody can read: handed on as what they are, without losing the connection.

The client library decodes the header of a message while it reads the connection, and ends that at what it
cannot decode: a time in microseconds, a header's name that is no UTF-8. The message would be given out again
on the next connection, and end that one, too. So such properties are replaced by headers that say what is
wrong, with the raw octets beside it; whoever takes the message finds them there.
"""

import base64
import struct
from collections.abc import Mapping
from typing import Any

from pamqp.commands import Basic
from pamqp.header import ContentHeader

WHY = "x-unreadable"
"""A header of our own: why the properties of a message cannot be read."""
OCTETS = "x-unreadable-octets"
"""Beside it: the header of the message as it came, in base64."""
MOST_OCTETS = 48 * 1024
"""More than so many are not kept: no publisher needs them, and they must fit into a frame again."""

_START = struct.Struct(">HHQ")
_TAG = struct.Struct(">Q?")
_read_header = ContentHeader.unmarshal
_read_delivery = Basic.Deliver.unmarshal
_read_answer = Basic.GetOk.unmarshal


def unreadable(headers: Mapping[str, Any]) -> str | None:
    """Why a message's properties could not be read; None if they could."""
    why = headers.get(WHY)
    return str(why) if why is not None else None


def _header(self: ContentHeader, data: bytes) -> None:
    try:
        _read_header(self, data)
    except Exception as error:  # whatever a stranger wrote: it must not end the connection
        self.class_id, self.weight, self.body_size = _START.unpack(data[: _START.size])
        octets = base64.b64encode(data[_START.size :][:MOST_OCTETS]).decode()
        why = str(error).encode(errors="backslashreplace")[:500].decode(errors="ignore")
        self.properties = Basic.Properties(
            headers={WHY: f"{type(error).__name__}: {why}", OCTETS: octets}, delivery_mode=2
        )


def _delivery(self: Basic.Deliver, data: bytes) -> None:
    try:
        _read_delivery(self, data)
    except ValueError:  # a routing key that is no text: no one of ours reads it
        self.consumer_tag, rest = _text(data)
        _came_from(self, rest)


def _answer(self: Basic.GetOk, data: bytes) -> None:
    try:
        _read_answer(self, data)
    except ValueError:
        rest = _came_from(self, data)
        self.message_count = int.from_bytes(rest[:4], "big")


def _came_from(self: Basic.Deliver | Basic.GetOk, data: bytes) -> bytes:
    self.delivery_tag, self.redelivered = _TAG.unpack(data[: _TAG.size])
    self.exchange, rest = _text(data[_TAG.size :])
    self.routing_key, rest = _text(rest)
    return rest


def _text(data: bytes) -> tuple[str, bytes]:
    end = 1 + data[0]
    return data[1:end].decode(errors="backslashreplace"), data[end:]


ContentHeader.unmarshal = _header
Basic.Deliver.unmarshal = _delivery
Basic.GetOk.unmarshal = _answer
