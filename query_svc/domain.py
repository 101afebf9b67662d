"""What an event means to the read side, whoever published it. Pure."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from shared.cloudevents import Undecoded

EventStatus = Literal["PENDING", "COMPLETED", "FAILED", "COMPENSATED"]

STATUS_OF: dict[str, EventStatus] = {
    "order.placed": "PENDING",
    "order.release.item": "PENDING",
    "order.release.coupon": "PENDING",
    "order.release.payment": "PENDING",
    "order.failed": "FAILED",
    "order.settled": "FAILED",
    "order.confirmation_rejected": "FAILED",
    "order.cancelled": "COMPENSATED",
    "item.stock_rejected": "FAILED",
    "item.stock_released": "COMPENSATED",
    "coupon.rejected": "FAILED",
    "coupon.released": "COMPENSATED",
    "payment.declined": "FAILED",
    "payment.refunded": "COMPENSATED",
    "user.registration_failed": "FAILED",
}
"""What an event says of its saga. One that does not stand here tells of something done: COMPLETED."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the store keeps it."""

    position: int
    message_id: str
    saga_id: str
    service: str
    event_type: str
    event_data: str
    status: EventStatus
    time: datetime
    subject: str
    sequence: int | None
    correlation_id: str | None
    causation_id: str | None


class _AboutOrder(msgspec.Struct, frozen=True):
    order_id: str


_read_about: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_AboutOrder)


def keep(event: Undecoded, position: int) -> Kept:
    """An event as it is kept; whatever is about an order belongs to that order's saga."""
    data = bytes(event.data)
    return Kept(
        position=position,
        message_id=event.id,
        saga_id=_order_of(data) or event.correlationid or event.subject,
        service=event.type.partition(".")[0],
        event_type=event.type,
        event_data=data.decode(),
        status=STATUS_OF.get(event.type, "COMPLETED"),
        time=event.time,
        subject=event.subject,
        sequence=event.sequence,
        correlation_id=event.correlationid,
        causation_id=event.causationid,
    )


def _order_of(data: bytes) -> str | None:
    try:
        return _read_about.decode(data).order_id
    except msgspec.DecodeError:
        return None
