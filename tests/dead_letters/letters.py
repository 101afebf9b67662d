"""Dead letters for tests: as they come from a queue, without a broker."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from aio_pika.abc import AbstractIncomingMessage

from query_svc.dead_letters import store
from query_svc.dead_letters.letter import Letter, letter_of
from shared.database.units import Database
from shared.rpc import wire
from tests.shared.lab import event

QUEUE = "item.order.placed"
FAILED_AT = "2026-01-31T12:00:00+00:00"


def message(body: bytes | None = None, **changes: Any) -> AbstractIncomingMessage:
    """A message as it comes from a queue of dead letters; `headers` are added to those of our consumer."""
    headers = {
        "x-count": 1,
        "x-attempt": 3,
        "x-exception": "ValueError",
        "x-exception-message": "no such thing",
        "x-failed-at": FAILED_AT,
        "x-service": "item-svc#1",
        "x-queue": QUEUE,
    }
    values = {
        "body": b"[" + event("order.placed", {"a": 1}) + b"]" if body is None else body,
        "headers": headers | changes.pop("headers", {}),
        "message_id": str(uuid4()),
        "type": "order.placed",
        "app_id": "order-svc",
        "correlation_id": str(uuid4()),
        "content_type": "application/cloudevents-batch+json",
        "content_encoding": None,
        "timestamp": datetime(2026, 1, 31, 11, 59, tzinfo=UTC),
    }
    return cast(AbstractIncomingMessage, SimpleNamespace(**(values | changes)))


def letter(queue: str = QUEUE, exception: str = "ValueError", **changes: Any) -> Letter:
    """A letter as the table takes it."""
    headers = {"x-exception": exception} | changes.pop("headers", {})
    return letter_of(message(headers=headers, **changes), queue)


async def kept(db: Database, *letters: Letter) -> list[int]:
    """Put letters into the table; returns their ids, in that order."""
    await db.transaction(lambda tx: store.keep(tx, letters))
    ids = dict(await db.read(lambda reader: reader.rows("SELECT identity, id FROM dead_letters")))
    return [ids[one.identity] for one in letters]


def encoded(value: Any) -> bytes:
    """A value as JSON."""
    return wire.encode(value)
