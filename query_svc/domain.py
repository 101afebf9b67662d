"""What events mean to the read side: where they belong, how an order stands by them, what they sell. Pure.

An order is a set of facts, each told by one kind of event, and everything else follows from the facts that
are known. So it does not matter in which order they become known, nor in which portions.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple, assert_never
from uuid import UUID

import msgspec

from query_svc.facts import (
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderFailed,
    OrderPlaced,
    OrderSettled,
    PaymentPartlyRefunded,
)
from shared.events import Undecoded, without_text

EventStatus = Literal["PENDING", "COMPLETED", "FAILED", "COMPENSATED"]
OrderStatus = Literal["PENDING", "COMPLETED", "FAIL", "CANCEL"]
Period = Literal["day", "week", "month", "all"]

CARD_KEY = "payment_key"
KEPT = "payment_kept"
"""Why an order failed whose payment the shop keeps; it replaces the reason that it failed for at first."""
BEGINNING = date(1970, 1, 1)
"""Where the period `all` begins."""

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
    "payment.partly_refunded": "COMPENSATED",
    "payment.kept": "FAILED",
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


_read_about: msgspec.json.Decoder[_AboutOrder] = msgspec.json.Decoder(_AboutOrder)


def keep(event: Undecoded, position: int) -> Kept:
    """An event as it is kept; whatever is about an order belongs to that order's saga.

    The key to a card is not kept. No event tells one any more; an old one may still be on its way.
    """
    data = without_text(bytes(event.data), CARD_KEY)
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


# Orders --------------------------------------------------------------------------------------------------


class Part(msgspec.Struct, frozen=True, order=True):
    """A refund in part. Those of a payment differ in `refunded`, the sum of it that was refunded by then."""

    payment_id: UUID
    refunded: int
    amount: int
    at: datetime


class Sale(NamedTuple):
    """What an order is to the sales figures, and the refunds in part that lower them."""

    kind: Literal["none", "standing", "called off"] = "none"
    parts: tuple[Part, ...] = ()


class Order(msgspec.Struct, kw_only=True):
    """The facts known of an order. `settled_at` is when it came to rest as failed, with nothing to undo."""

    order_id: UUID
    last_event_at: datetime
    buyer_id: int | None = None
    total: int | None = None
    pay_with: str | None = None
    participants: list[str] | None = None
    line_count: int | None = None
    payment_id: UUID | None = None
    reason: str | None = None
    reason_details: dict[str, Any] | None = None
    placed_at: datetime | None = None
    completed_at: datetime | None = None
    confirmed_at: datetime | None = None
    failed_at: datetime | None = None
    settled_at: datetime | None = None
    cancelled_at: datetime | None = None
    parts: list[Part] | None = None
    """The refunds in part of its payments."""

    @property
    def status(self) -> OrderStatus:
        """Where it stands: an order never goes back, so the furthest that was told of it counts."""
        if self.cancelled_at:
            return "CANCEL"
        if self.failed_at or self.settled_at:
            return "FAIL"
        return "COMPLETED" if self.completed_at or self.confirmed_at else "PENDING"

    @property
    def settled(self) -> bool:
        """Whether nothing of it is under way."""
        status = self.status
        match status:
            case "COMPLETED" | "CANCEL":
                return True
            case "FAIL":
                return self.settled_at is not None
            case "PENDING":
                return False
            case _:
                assert_never(status)

    @property
    def paid(self) -> bool:
        """Whether the shop has the money; a cancelled order has had all of it given back."""
        status = self.status
        match status:
            case "PENDING" | "COMPLETED" | "FAIL":
                return self.confirmed_at is not None
            case "CANCEL":
                return False
            case _:
                assert_never(status)

    @property
    def sale(self) -> Sale:
        """What it is to the sales figures; its lines must be known as well as that it was confirmed.

        Once it is called off all of its revenue is gone, and what was refunded before is a part of that.
        """
        if self.placed_at is None or self.confirmed_at is None:
            return Sale("none")
        status = self.status
        match status:
            case "COMPLETED":
                its_parts = tuple(one for one in self.parts or () if one.payment_id == self.payment_id)
                return Sale("standing", its_parts)
            case "PENDING" | "FAIL" | "CANCEL":
                return Sale("called off")
            case _:
                assert_never(status)


def learn(order: Order, told: OrderEvent, at: datetime) -> None:
    """Add what an event of time `at` tells."""
    order.last_event_at = max(order.last_event_at, at)
    order.buyer_id = told.user_id if isinstance(told, PaymentPartlyRefunded) else told.buyer_id
    match told:
        case OrderPlaced():
            order.total = told.total
            order.pay_with = told.pay_with
            order.participants = told.participants
            order.line_count = len(told.lines)
            order.placed_at = told.placed_at
        case OrderCompleted():
            order.total = told.total
            order.completed_at = at
        case OrderConfirmed():
            order.total = told.total
            order.confirmed_at = told.confirmed_at
            order.payment_id = told.payment_id
        case OrderFailed():
            if order.reason != KEPT:  # which it failed for in the end, and is told with its rest
                order.reason, order.reason_details = told.reason, told.reason_details
            order.failed_at = at
            order.settled_at = at if told.settled else order.settled_at
        case OrderSettled():
            order.reason = told.reason
            order.reason_details = told.reason_details or order.reason_details
            order.settled_at = at
        case OrderCancelled():
            order.reason = told.reason
            order.cancelled_at = at
        case PaymentPartlyRefunded():
            order.parts = _with(order.parts or [], told)


def _with(parts: list[Part], told: PaymentPartlyRefunded) -> list[Part]:
    """Parts and one more of them, each once; of one that is told differently the earlier telling counts."""
    part = Part(told.payment_id, told.refunded, told.amount, told.refunded_at)
    by_sum = {(one.payment_id, one.refunded): one for one in parts}
    which = part.payment_id, part.refunded
    by_sum[which] = min(by_sum.get(which, part), part, key=lambda one: (one.at, one.amount))
    return sorted(by_sum.values())


# Figures -------------------------------------------------------------------------------------------------


class ItemKey(NamedTuple):
    """An item in a period of the calendar."""

    period: Period
    start: date
    item_id: int


class ItemFigures(msgspec.Struct):
    """What was sold of an item."""

    quantity: int = 0
    revenue: int = 0


class HourFigures(msgspec.Struct):
    """What was sold in an hour, of that what was called off since, and what was refunded in it in part.

    Refunds in part lower the revenue of the hour they are made in, whenever their orders were confirmed.
    """

    orders: int = 0
    quantity: int = 0
    revenue: int = 0
    refunded: int = 0
    cancelled_orders: int = 0
    cancelled_revenue: int = 0

    def __add__(self, other: "HourFigures") -> "HourFigures":
        """Both together."""
        return HourFigures(
            **{name: getattr(self, name) + getattr(other, name) for name in HourFigures.__struct_fields__}
        )


class Changes(msgspec.Struct):
    """By how much figures change."""

    items: dict[ItemKey, ItemFigures] = {}
    hours: dict[datetime, HourFigures] = {}
    left: set[datetime] = set()
    """Hours whose refunds in part, some of them, do not count any more."""


def count(changes: Changes, order: Order, was: Sale, lines: Sequence[Line]) -> None:
    """Add what it changes that an order, such a sale as `was` before, is another now.

    A refund in part is of money and not of lines: what was sold of an item, its revenue too, stays as it is.
    """
    is_now = order.sale
    for part in {*was.parts} ^ {*is_now.parts}:
        start = hour_of(part.at)
        hour = changes.hours.setdefault(start, HourFigures())
        if part in was.parts:
            changes.left.add(start)
        amount = -part.amount if part in was.parts else part.amount
        hour.refunded += amount
        hour.revenue -= amount
    if is_now.kind == was.kind or order.confirmed_at is None:
        return
    moment = order.confirmed_at.astimezone(UTC)
    hour = changes.hours.setdefault(hour_of(moment), HourFigures())
    quantity = sum(line.quantity for line in lines)
    revenue = sum(line.quantity * line.discounted_price for line in lines)
    stands = (is_now.kind == "standing") - (was.kind == "standing")
    hour.orders += stands
    hour.quantity += stands * quantity
    hour.revenue += stands * revenue
    called_off = (is_now.kind == "called off") - (was.kind == "called off")
    hour.cancelled_orders += called_off
    hour.cancelled_revenue += called_off * revenue
    if not stands:
        return
    starts: list[tuple[Period, date]] = [(period, start_of(period, moment.date())) for period in PERIODS]
    for line in lines:
        for period, start in starts:
            figures = changes.items.setdefault(ItemKey(period, start, line.item_id), ItemFigures())
            figures.quantity += stands * line.quantity
            figures.revenue += stands * line.quantity * line.discounted_price


PERIODS: tuple[Period, ...] = ("day", "week", "month", "all")


def start_of(period: Period, day: date) -> date:
    """The first day of the period that holds `day`; weeks begin on Monday."""
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "all":
            return BEGINNING


def end_of(period: Period, start: date) -> date:
    """The day after the period that begins on `start`."""
    match period:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case _:
            return (start.replace(day=28) + timedelta(days=4)).replace(day=1)


def hour_of(moment: datetime) -> datetime:
    """The hour that holds a moment, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def buckets(since: datetime, until: datetime, step: timedelta) -> Iterable[datetime]:
    """The starts of the buckets from `since` until before `until`."""
    start = since
    while start < until:
        yield start
        start += step
