"""The body of an event message: a CloudEvents 1.0 JSON batch, an array of events of one type."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec

CONTENT_TYPE = "application/cloudevents-batch+json"

Data = TypeVar("Data")


class CloudEvent(msgspec.Struct, Generic[Data], frozen=True, kw_only=True, omit_defaults=True):
    """One event on the wire. `correlationid`, `causationid`, `sequence` and `traceparent` are extensions."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    correlationid: str | None = None
    causationid: str | None = None
    sequence: int | None = None
    traceparent: str | None = None
    data: Data

    def __post_init__(self) -> None:
        if self.specversion != "1.0":
            raise ValueError(f"specversion is {self.specversion!r}, this service reads 1.0")


Undecoded = CloudEvent[msgspec.Raw]

_encoder = msgspec.json.Encoder()
_split = msgspec.json.Decoder(list[msgspec.Raw])


def encode(event: CloudEvent[Any]) -> bytes:
    """One event as JSON. `specversion` stands in every event, although it is the default here."""
    return b'{"specversion":"1.0",' + _encoder.encode(event)[1:]


def batch(events: list[bytes]) -> bytes:
    """The body of a message that carries these events."""
    return b"[" + b",".join(events) + b"]"


def join(bodies: list[bytes]) -> bytes:
    """One body with the events of several, none of which is empty."""
    return b"[" + b",".join([body[1:-1] for body in bodies]) + b"]"


def split(body: bytes) -> list[bytes]:
    """The events of a message, each as JSON still. Raises `msgspec.DecodeError` for anything but an array."""
    return [bytes(raw) for raw in _split.decode(body)]
