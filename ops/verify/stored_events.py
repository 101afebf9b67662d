"""What the event store holds of an order must be what its publishers' own tables say.

An order's events follow from its history and its participants' claims. Answers may be told several times,
what happened to the order itself only once.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from coupon_svc.domain import Line
from ops.verify.check import Check
from ops.verify.order_records import OrderRecords
from ops.verify.tables import Claim, Payment, StoredEvent
from query_svc.timeline import NO_STEPS

_OF_HISTORY = {
    "order.completed": "ORDER_COMPLETED",
    "order.confirmed": "ORDER_CONFIRMED",
    "order.failed": "ORDER_FAILED",
    "order.cancelled": "ORDER_CANCELLED",
    "order.settled": "ORDER_SETTLED",
    "order.confirmation_rejected": "CONFIRMATION_REJECTED",
}
_RELEASES = {f"order.release.{name}": name for name in ("item", "coupon", "payment")}
_PAYMENT = (
    "payment.captured",
    "payment.declined",
    "payment.refunded",
    "payment.partly_refunded",
    "payment.kept",
)
_TAKEN = ("HELD", "RELEASING", "RELEASED", "NEEDS_ATTENTION", "KEPT")


class _Told(Struct):
    """What an event about an order may tell."""

    order_id: str | None = None
    buyer_id: int | None = None
    user_id: int | None = None
    total: int | None = None
    lines: list[Line] | None = None
    pay_with: str | None = None
    payment_id: str | None = None
    reason: str | None = None
    amount: int | None = None
    refunded: int | None = None
    kind: str | None = None
    names: dict[int, str] | None = None


_read = msgspec.json.Decoder(_Told).decode


class _Event(NamedTuple):
    type: str
    position: int
    told: _Told


def partly_refunded(stored: StoredEvent) -> _Told | None:
    """What an event tells of a refund in part; None where it tells of none, or cannot be read."""
    if stored.event_type != "payment.partly_refunded":
        return None
    try:
        return _read(stored.event_data)
    except msgspec.DecodeError:
        return None


def _as_published(records: OrderRecords) -> Iterator[str]:
    if records.order is None:
        for stored in records.events:
            if stored.event_type == "order.placed":
                yield f"event {stored.position}: {stored.event_type} of order {records.id}, which is unknown"
        return
    if not records.was_told:
        return
    events: dict[str, list[_Event]] = {}
    for stored in records.events:
        if stored.event_type in NO_STEPS:
            continue
        try:
            told = _read(stored.event_data)
        except msgspec.DecodeError:
            yield f"event {stored.position}: {stored.event_type} of order {records.id} cannot be read"
            continue
        events.setdefault(stored.event_type, []).append(_Event(stored.event_type, stored.position, told))
        if told.order_id != records.id or stored.subject != records.id:
            yield (
                f"event {stored.position}: {stored.event_type} of order {records.id} tells of"
                f" {told.order_id}, subject {stored.subject}"
            )
    what = f"order {records.id}"
    for wrong in (*_counted(records, events), *_facts(records, events), *_payments(records, events)):
        yield f"{what}: {wrong}"


def _counted(records: OrderRecords, events: dict[str, list[_Event]]) -> Iterator[str]:
    """Which events there must be, and which not."""
    once = {"order.placed": 1} | {
        event_type: records.happened(entry) for event_type, entry in _OF_HISTORY.items()
    }
    for event_type, times in once.items():
        told = len(events.get(event_type, ()))
        if told != times:
            yield f"{event_type} is stored {told} times, but happened {times} times"
    asked = {change.participant for change in records.history if change.what == "RELEASE_REQUESTED"}
    claims = (
        (
            "item",
            records.item_claim,
            bool(records.stock),
            "stock_reserved",
            "stock_rejected",
            "stock_released",
        ),
        ("coupon", records.coupon_claim, bool(records.uses), "applied", "rejected", "released"),
    )
    happened = {event_type: name in asked for event_type, name in _RELEASES.items()}
    for service, claim, took, *names in claims:
        yes, no, back = (f"{service}.{name}" for name in names)
        happened[yes] = claim is not None and (claim.state == "HELD" or took)
        happened[back] = claim is not None and claim.state == "RELEASED"
        if claim is None or claim.state != "RELEASED":  # a released one may have been refused once more
            happened[no] = claim is not None and claim.state == "REJECTED"
        for event in events.get(no, ()):
            if event.told.reason not in _refusals(claim):
                yield f"event {event.position}: {no} tells of {event.told.reason}"
    for event in events.get("item.stock_reserved", ()):
        if (event.told.names or {}).keys() != records.asked.keys():
            yield f"event {event.position}: {event.type} names other items"
    for event_type, has in happened.items():
        if bool(events.get(event_type)) != has:
            yield f"{event_type} {'is not stored' if has else 'is stored, but never happened'}"


def _refusals(claim: Claim | None) -> tuple[str | None, ...]:
    if claim is None:
        return ()
    return (claim.reason, "released") if claim.state == "RELEASED" else (claim.reason,)


def _facts(records: OrderRecords, events: dict[str, list[_Event]]) -> Iterator[str]:
    """What the order's own events tell."""
    order = records.order
    assert order is not None  # noqa: S101  whoever calls has looked
    participant = records.participants.get("payment")
    payment_id = participant.payment_id if participant else None
    own: dict[str, dict[str, Any]] = {
        "order.placed": {"total": order.total, "pay_with": order.pay_with, "lines": records.lines},
        "order.completed": {"total": order.total},
        "order.confirmed": {"total": order.total, "payment_id": payment_id},
        "order.failed": {"reason": records.reason_told},
        "order.cancelled": {"reason": order.reason},
        "order.settled": {"reason": order.reason},
    }
    for event_type, facts in own.items():
        for event in events.get(event_type, ()):
            for name, fact in ({"buyer_id": order.buyer_id} | facts).items():
                if getattr(event.told, name) != fact:
                    yield f"event {event.position}: {event_type} tells other {name.replace('_', ' ')}"
    news = sorted((one.user_id, one.kind) for one in records.notifications)
    if sorted((event.told.user_id, event.told.kind) for event in events.get("user.notified", ())) != news:
        yield "the events user.notified are not those of its notifications"


def _payments(records: OrderRecords, events: dict[str, list[_Event]]) -> Iterator[str]:
    payments = {payment.payment_id: payment for payment in records.payments}
    told = {event_type: set[str]() for event_type in _PAYMENT}
    for event_type in _PAYMENT:
        for event in events.get(event_type, ()):
            payment = payments.get(event.told.payment_id or "")
            if payment is None or not _TRUE[event_type](event.told, payment):
                yield f"event {event.position}: {event_type} of payment {event.told.payment_id} is not true"
            else:
                told[event_type].add(payment.payment_id)
    for payment in records.payments:
        for event_type, has in (
            ("payment.captured", payment.state == "HELD"),
            ("payment.declined", payment.state == "REJECTED"),
            ("payment.refunded", payment.state == "RELEASED"),
            ("payment.kept", payment.state == "KEPT"),
        ):
            if has and payment.payment_id not in told[event_type]:
                yield f"{event_type} of payment {payment.payment_id} is not stored"
        parts = {
            event.told.refunded: event.told.amount or 0
            for event in events.get("payment.partly_refunded", ())
            if event.told.payment_id == payment.payment_id
        }
        told_parts, had = sum(parts.values()), payment.refunded - payment.released
        # What the payment gateway gave back of a charge that nobody knew of is told by nothing.
        simple = payment.state in ("HELD", "RELEASED") and not payment.reason and not payment.resolved
        if told_parts > had or (simple and told_parts != had):
            yield f"the parts given back of payment {payment.payment_id} are not those that are stored"
    noted = records.happened("PAYMENT_PARTLY_REFUNDED")
    parts = {(one.told.payment_id, one.told.refunded) for one in events.get("payment.partly_refunded", ())}
    if len(parts) != noted:
        yield f"{len(parts)} refunds in part are stored, but {noted} stand in its history"
    for event in events.get("order.confirmation_rejected", ()):
        if event.told.payment_id not in payments:
            yield f"event {event.position}: {event.type} of payment {event.told.payment_id}, which is unknown"


_TRUE: dict[str, Callable[[_Told, Payment], bool]] = {
    "payment.captured": lambda told, payment: payment.state in _TAKEN and told.amount == payment.amount,
    "payment.declined": lambda told, payment: (
        # One that was charged after it was given up is given back, and its reason may be another by now.
        payment.state not in ("ASKING", "HELD")
        and (payment.state != "REJECTED" or told.reason in (payment.reason, "released"))
    ),
    "payment.refunded": lambda told, payment: (
        payment.state == "RELEASED"
        and told.amount in (0, payment.released)
        and told.user_id == payment.user_id
    ),
    "payment.partly_refunded": lambda told, payment: (
        payment.state in _TAKEN
        and told.user_id == payment.user_id
        and (told.refunded or 0) <= payment.refunded
    ),
    "payment.kept": lambda told, payment: (
        payment.state == "KEPT"
        and told.user_id == payment.user_id
        and told.amount == (payment.amount or 0) - payment.refunded
    ),
}
"""What must be so for an event of a payment to be true."""

EVENT_CHECKS = (Check("stored events are what their publishers say", _as_published, follows=True),)
