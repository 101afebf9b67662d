"""The timeline of an order: its events, told as the steps of its way through the services. Pure.

An order is asked for by some events and answered by others. Steps are made from what was asked first and
ended by the answers, so that neither the order of arrival nor clocks that disagree can turn them round.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, assert_never
from uuid import UUID

import msgspec

from query_svc import facts
from query_svc.domain import KEPT, Kept, Order, learn
from shared.messages import View

Outcome = Literal["waiting", "done", "refused", "given_up"]

PARTICIPATION = {
    "item": ("reserve stock", "restore stock"),
    "coupon": ("apply coupons", "restore coupons"),
    "payment": ("take payment", "refund payment"),
}
"""What participants are asked for, and how they take it back."""

ASKS_BACK = {f"order.release.{name}": name for name in PARTICIPATION}


class Answer(NamedTuple):
    """What an event answers: whose step, which direction, and how."""

    service: str
    backwards: bool
    outcome: Outcome


ANSWERS = {
    "item.stock_reserved": Answer("item", False, "done"),
    "item.stock_rejected": Answer("item", False, "refused"),
    "item.stock_released": Answer("item", True, "done"),
    "coupon.applied": Answer("coupon", False, "done"),
    "coupon.rejected": Answer("coupon", False, "refused"),
    "coupon.released": Answer("coupon", True, "done"),
    "payment.captured": Answer("payment", False, "done"),
    "payment.declined": Answer("payment", False, "refused"),
    "payment.refunded": Answer("payment", True, "done"),
    "payment.kept": Answer("payment", True, "refused"),
}

NO_STEPS = {"order.audited"}
"""What is told for the audit log: who did it, beside the step that it was."""

NEVER_UNASKED = {"item", "coupon"}
"""Who only ever answers; a payment may also come from a buyer who pays later."""

AT_ONCE: dict[str, tuple[str, bool, Outcome]] = {
    "order.placed": ("accept order", False, "done"),
    "order.completed": ("complete order", False, "done"),
    "order.confirmed": ("confirm order", False, "done"),
    "order.confirmation_rejected": ("refuse payment", False, "refused"),
    "order.failed": ("fail order", False, "refused"),
    "order.settled": ("close order", False, "refused"),
    "order.cancelled": ("cancel order", True, "done"),
    "payment.partly_refunded": ("refund a part", True, "done"),
    "user.notified": ("notify buyer", False, "done"),
}
"""What services do by themselves, in no time: a name, the direction and how it ends."""


class Step(msgspec.Struct, kw_only=True):
    """One step of the way; without an end it is waited for."""

    service: str
    name: str
    backwards: bool
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome = "waiting"
    reason: str | None = None
    details: dict[str, Any] | None = None
    payment_id: UUID | None = None
    asked_by: list[str] = []
    answered_by: list[str] = []

    @property
    def attempts(self) -> int:
        """How often it was asked for; who did it unasked has tried once."""
        return max(len(self.asked_by), 1)


class Waiting(NamedTuple):
    """Who is to do what, asked since when."""

    service: str
    step: str
    since: datetime


class Way(msgspec.Struct, kw_only=True):
    """An order's way so far."""

    order: Order
    steps: list[Step]
    waiting_for: list[Waiting]
    complete: bool

    @property
    def started_at(self) -> datetime:
        """When its first step began."""
        return self.steps[0].started_at

    @property
    def ended_at(self) -> datetime | None:
        """When its last step ended; None while anything is under way."""
        ends = [step.ended_at for step in self.steps]
        if not self.order.settled or any(end is None for end in ends):
            return None
        return max(end for end in ends if end is not None)


def way(order_id: UUID, events: Sequence[Kept]) -> Way:
    """The way of an order by its events, of which there is at least one."""
    read = [(event, _read(event)) for event in sorted(events, key=lambda event: (event.time, event.position))]
    order = Order(order_id=order_id, last_event_at=read[0][0].time)
    for event, news in read:
        if isinstance(news, facts.OrderEvent):
            learn(order, news, event.time)
    steps = _asked(read)
    for event, news in read:
        _answer(steps, event, news)
    _give_up(steps)
    steps += _decided(read)
    steps.sort(key=lambda step: (step.started_at, step.backwards, step.service != "order"))
    return Way(
        order=order,
        steps=steps,
        waiting_for=_waiting_for(order, steps),
        complete=order.placed_at is not None and not _lacks_something(order, steps),
    )


def _read(event: Kept) -> View | None:
    try:
        return facts.read(event.event_type, event.event_data)
    except msgspec.DecodeError:
        return None


def _asked(read: Iterable[tuple[Kept, View | None]]) -> list[Step]:
    """What participants were asked for, each step once, however often it was asked."""
    steps: list[Step] = []

    def ask(event: Kept, service: str, *, backwards: bool, payment_id: UUID | None = None) -> None:
        for step in steps:
            if (step.service, step.backwards, step.payment_id) == (service, backwards, payment_id):
                step.asked_by.append(event.message_id)
                return
        steps.append(
            Step(
                service=service,
                name=_name(service, backwards),
                backwards=backwards,
                started_at=event.time,
                payment_id=payment_id,
                asked_by=[event.message_id],
            )
        )

    for event, news in read:
        if isinstance(news, facts.OrderPlaced):
            for service in news.participants:
                ask(event, service, backwards=False)
        elif isinstance(news, facts.ConfirmationRejected):
            ask(event, "payment", backwards=True, payment_id=news.payment_id)
        elif event.event_type in ASKS_BACK:
            ask(event, ASKS_BACK[event.event_type], backwards=True)
    return steps


def _answer(steps: list[Step], event: Kept, news: View | None) -> None:
    answer = ANSWERS.get(event.event_type)
    if answer is None:
        return
    payment_id: UUID | None = getattr(news, "payment_id", None)
    step = _answered_step(steps, answer, payment_id)
    if step is None:  # unasked, as a payment that was made later, or the asking is not known
        step = Step(
            service=answer.service,
            name=_name(answer.service, answer.backwards),
            backwards=answer.backwards,
            started_at=event.time,
        )
        steps.append(step)
    step.answered_by.append(event.message_id)
    if step.ended_at is None:
        step.ended_at = max(event.time, step.started_at)
        step.outcome = answer.outcome
        step.payment_id = payment_id
        step.reason, step.details = _why(news)


def _why(news: View | None) -> tuple[str | None, dict[str, Any] | None]:
    """The reason that an event gives for how a step ended, and what there is to say about it."""
    match news:
        case facts.PaymentKept():
            return KEPT, {"amount": news.amount, "note": news.note}
        case facts.PaymentPartlyRefunded():
            return None, {"amount": news.amount, "refunded": news.refunded}
        case facts.OrderFailed() | facts.OrderSettled():
            return news.reason, news.reason_details
        case facts.StockRejected() | facts.CouponsRejected() | facts.PaymentDeclined():
            return news.reason, news.details or None
        case _:
            return getattr(news, "reason", None), None


def _answered_step(steps: Sequence[Step], answer: Answer, payment_id: UUID | None) -> Step | None:
    """The step that an answer belongs to: the one about its payment, or else the one about none."""
    candidates = [step for step in steps if (step.service, step.backwards) == answer[:2]]
    for wanted in (payment_id, None):
        for step in candidates:
            if step.payment_id == wanted:
                return step
    return None


def _give_up(steps: Sequence[Step]) -> None:
    """What was given back will not be answered any more, if it has not been."""
    for step in steps:
        if step.ended_at is not None or step.backwards:
            continue
        for back in steps:
            if back.backwards and back.service == step.service and back.ended_at is not None:
                step.outcome, step.ended_at = "given_up", max(back.ended_at, step.started_at)


def _decided(read: Iterable[tuple[Kept, View | None]]) -> list[Step]:
    """What was done at once: the decisions of the order service, and what other services did unasked."""
    steps: list[Step] = []
    for event, news in read:
        if event.event_type in ANSWERS or event.event_type in ASKS_BACK or event.event_type in NO_STEPS:
            continue
        plain = event.event_type.partition(".")[2].replace("_", " ") or event.event_type
        name, backwards, outcome = AT_ONCE.get(event.event_type, (plain, False, "done"))
        reason, details = _why(news)
        steps.append(
            Step(
                service=event.service,
                name=name,
                backwards=backwards,
                started_at=event.time,
                ended_at=event.time,
                outcome=outcome,
                reason=reason,
                details=details,
                asked_by=[event.causation_id] if event.causation_id else [],
                answered_by=[event.message_id],
            )
        )
    return steps


def _waiting_for(order: Order, steps: Sequence[Step]) -> list[Waiting]:
    waiting = [Waiting(step.service, step.name, step.started_at) for step in steps if step.ended_at is None]
    if not waiting and not order.settled:
        ends = [step.ended_at for step in steps if step.ended_at is not None]
        waiting = [Waiting("order", "decide", max(ends))]
    if order.status == "COMPLETED" and order.completed_at and not order.confirmed_at:
        waiting.append(Waiting("buyer", "pay", order.completed_at))
    return waiting


def _lacks_something(order: Order, steps: Sequence[Step]) -> bool:
    """Whether somebody answered who was not asked, or the order is further than the answers: the events of it
    that are known cannot be all of them then."""
    if any(step.service in NEVER_UNASKED and not step.asked_by for step in steps):
        return True
    open_steps = [step for step in steps if step.ended_at is None]
    status = order.status
    match status:
        case "COMPLETED":
            return any(not step.backwards for step in open_steps)
        case "CANCEL":
            return any(step.backwards for step in open_steps)
        case "PENDING" | "FAIL":
            return False
        case _:
            assert_never(status)


def _name(service: str, backwards: bool) -> str:
    return PARTICIPATION.get(service, ("take part", "give back"))[backwards]
