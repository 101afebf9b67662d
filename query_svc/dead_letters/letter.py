"""A dead letter between wire and table: nothing of it is lost coming in, and it goes back as good as new."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from query_svc.domain import CARD_KEY
from shared.broker import PUBLISHED_BY, STRANGER, UNREADABLE_OCTETS, WHY_UNREADABLE
from shared.events import REDRIVES_HEADER, UNREADABLE, CloudEvent, split, without_text

LARGEST_BODY = 4 * 1024 * 1024
"""Of a larger one the head alone is kept: no statement could carry it. None of ours comes near."""
HEAD = 1024 * 1024
CUT_HEADER = "x-cut-from"
"""A note of ours: of how many octets the body is the head."""
_OF_ITS_DELIVERY = ("x-acquired-count", "x-delivery-count")
"""Headers that the broker changes each time it hands out the same message; 4.3 counts in both."""
_OF_ITS_DEATH = (
    *_OF_ITS_DELIVERY,
    "x-alone",
    "x-attempt",
    CUT_HEADER,
    "x-death",
    "x-exception",
    "x-exception-message",
    "x-failed-at",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-queue",
    "x-service",
    WHY_UNREADABLE,
    UNREADABLE_OCTETS,
)
"""Headers that tell how it died; a letter that is sent back starts without them."""
_PUT_HERE = "Somebody put it straight into the queue of dead letters."
_decode_event = msgspec.json.Decoder(CloudEvent[Any]).decode


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What the table keeps of a message."""

    identity: str
    group: str
    queue: str
    event: str | None
    event_id: str | None
    correlation_id: str | None
    exception: str
    message: str
    attempts: int
    failed_redrives: int
    failed_at: datetime | None
    encoding: Literal["text", "base64"]
    body: str
    headers: str
    properties: str


def letter_of(
    message: AbstractIncomingMessage, queue: str, published_by: str = "", *, is_strange: bool = False
) -> Letter:
    """A message taken from `<queue>.dead` as the table keeps it: all of it but the key to a card.

    `published_by` is the user whose message it is, empty if nobody's. Of a strange one, put there by somebody
    else than the broker or the queue's own service, nothing is believed.
    """
    told = dict(message.headers)
    headers = _plain(told)
    exception, said = _cause_of_death(told) if not is_strange else (STRANGER, _PUT_HERE)
    exception = exception[:100]
    identity = _digest(queue, message.message_id, message.body, headers)
    headers[PUBLISHED_BY] = published_by
    whole = without_text(message.body, CARD_KEY)
    if len(whole) > LARGEST_BODY:
        headers[CUT_HEADER] = len(message.body)
        said = f"Only the first {HEAD:,} of its {len(message.body):,} octets are kept. {said}"
        whole = whole[:HEAD]
    encoding, body = _as_text(whole)
    event = _only_event(message.body) if exception != STRANGER else None
    return Letter(
        identity=identity,
        group=group_key(queue, exception),
        queue=queue,
        event=message.type or (event.type[:255] if event else None),
        event_id=event.id[:255] if event else message.message_id,
        correlation_id=message.correlation_id,
        exception=exception,
        message=said[:1000],
        attempts=_number(told.get("x-attempt")) + 1,
        failed_redrives=_number(told.get(REDRIVES_HEADER)),
        failed_at=_moment(told.get("x-failed-at")),
        encoding=encoding,
        body=body,
        headers=msgspec.json.encode(headers).decode(),
        properties=msgspec.json.encode(_properties(message)).decode(),
    )


def message_of(
    encoding: str, body: str, headers: Mapping[str, Any], properties: Mapping[str, Any], redrives: int
) -> Message:
    """The message as it was before it failed, with a fresh count of attempts; `redrives` says how often.

    Raises `ValueError` if only the head of its body was kept.
    """
    if CUT_HEADER in headers:
        raise ValueError("only the head of its body was kept")
    kept = {name: value for name, value in headers.items() if name not in _OF_ITS_DEATH}
    timestamp = properties.get("timestamp")
    return Message(
        base64.b64decode(body) if encoding == "base64" else body.encode(),
        message_id=properties.get("message_id"),
        type=properties.get("type"),
        app_id=properties.get("app_id"),
        correlation_id=properties.get("correlation_id"),
        content_type=properties.get("content_type"),
        content_encoding=properties.get("content_encoding"),
        timestamp=datetime.fromisoformat(timestamp) if timestamp else None,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={**kept, REDRIVES_HEADER: redrives},
    )


def group_key(queue: str, exception: str) -> str:
    """What names a group in a URL: the same for the same queue and exception, always."""
    return hashlib.sha256(f"{queue}\n{exception}".encode()).hexdigest()[:16]


def _cause_of_death(headers: Mapping[str, Any]) -> tuple[str, str]:
    """The exception and what it said: as our consumer wrote it down, or else as the broker did."""
    if isinstance(exception := headers.get("x-exception"), str):
        return exception, str(headers.get("x-exception-message", ""))
    if (why := headers.get(WHY_UNREADABLE)) is not None:
        return "Unreadable", f"Its properties cannot be read: {why}"
    reason = str(headers.get("x-first-death-reason") or headers.get("x-last-death-reason") or "unknown")
    said = {
        "delivery_limit": "It came back too often: whoever took it died of it, or never acknowledged it.",
        "rejected": "It was rejected.",
        "expired": "It expired.",
    }
    name = "".join(word.capitalize() for word in reason.split("_"))
    return name, said.get(reason, "Nobody wrote down why it is here.")


def _as_text(body: bytes) -> tuple[Literal["text", "base64"], str]:
    try:
        return "text", body.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(body).decode()


def _only_event(body: bytes) -> CloudEvent[Any] | None:
    """The event of a message of one, where that can be read."""
    try:
        [raw] = split(body)
        return _decode_event(raw)
    except UNREADABLE:
        return None


def _properties(message: AbstractIncomingMessage) -> dict[str, Any]:
    timestamp = message.timestamp
    found = {
        "message_id": message.message_id,
        "type": message.type,
        "app_id": message.app_id,
        "correlation_id": message.correlation_id,
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "timestamp": timestamp.isoformat() if timestamp else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _digest(queue: str, message_id: str | None, body: bytes, headers: dict[str, Any]) -> str:
    lasting = {name: value for name, value in headers.items() if name not in _OF_ITS_DELIVERY}
    digest = hashlib.sha256(msgspec.json.encode([queue, message_id, lasting], order="deterministic"))
    digest.update(body)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A header as JSON can hold it: bytes as text if they are text, in base64 if not."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes | bytearray):
        return _as_text(bytes(value))[1]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _number(header: Any) -> int:
    return header if isinstance(header, int) and 0 <= header < 2**31 - 1 else 0


def _moment(header: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(header)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
