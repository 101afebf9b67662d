"""The saga of an order: one table of transitions, and the rules that close it. Pure.

Participants are asked in parallel. The order completes when all said yes; otherwise it fails, whoever said
yes is asked to give back, and once everything has been given back it is cancelled. Where a person decided
that the shop keeps what was paid for it, it rests as failed instead, for that reason.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, assert_never
from uuid import UUID

import msgspec


class Status(StrEnum):
    """Where an order stands."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAIL = "FAIL"
    CANCEL = "CANCEL"


class State(StrEnum):
    """Where one participant of an order stands."""

    AWAITING = "AWAITING"
    YES = "YES"
    NO = "NO"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"
    KEPT = "KEPT"


class Signal(StrEnum):
    """What a participant tells the order: its answer, that it has given back, or that it never will."""

    YES = "yes"
    NO = "no"
    RELEASED = "released"
    KEPT = "kept"


class Milestone(StrEnum):
    """What the saga wants told to the world about the order as a whole."""

    COMPLETED = "ORDER_COMPLETED"
    CONFIRMED = "ORDER_CONFIRMED"
    FAILED = "ORDER_FAILED"
    CANCELLED = "ORDER_CANCELLED"
    SETTLED = "ORDER_SETTLED"


CANCELLED_BY = {"buyer": "cancelled_by_buyer", "admin": "cancelled_by_admin"}
PAYER = "payment"
"""The participant that holds the money of a paid order."""
TIMEOUT = "timeout"
PAYMENT_EXPIRED = "payment_expired"
PAYMENT_KEPT = "payment_kept"
PARTLY_REFUNDED = "PAYMENT_PARTLY_REFUNDED"

Transitions = Mapping[tuple[State, Signal], State]
"""Every signal that moves a participant. Others, such as repeated answers, change nothing."""

WHILE_PENDING: Transitions = {
    (State.AWAITING, Signal.YES): State.YES,
    (State.AWAITING, Signal.NO): State.NO,
}
AFTER_FAILURE: Transitions = {
    # The order has failed already: what was taken for it must be given back.
    (State.AWAITING, Signal.YES): State.RELEASING,
    (State.AWAITING, Signal.NO): State.NO,
    (State.RELEASING, Signal.RELEASED): State.RELEASED,
    (State.RELEASING, Signal.KEPT): State.KEPT,
}
AT_REST: Transitions = {}


def transitions(status: Status) -> Transitions:
    """What moves the participants of an order that stands so."""
    match status:
        case Status.PENDING:
            return WHILE_PENDING
        case Status.FAIL:
            return AFTER_FAILURE
        case Status.COMPLETED | Status.CANCEL:
            return AT_REST
        case _:
            assert_never(status)


def was_asked_back(state: State) -> bool:
    """Whether an answer from here comes too late: it is recorded, but only the acknowledgement counts."""
    match state:
        case State.RELEASING | State.RELEASED | State.KEPT:
            return True
        case State.AWAITING | State.YES | State.NO:
            return False
        case _:
            assert_never(state)


def has_ended(state: State) -> bool:
    """Whether a failed order does not wait for somebody who stands so."""
    match state:
        case State.NO | State.RELEASED | State.KEPT:
            return True
        case State.AWAITING | State.YES | State.RELEASING:
            return False
        case _:
            assert_never(state)


class Participant(msgspec.Struct, kw_only=True):
    """One participant: where it stands, and the payment it made, if it is one that pays."""

    state: State = State.AWAITING
    payment_id: UUID | None = None


class Change(NamedTuple):
    """One entry for the order's history."""

    what: str
    participant: str | None = None
    details: dict[str, Any] | None = None
    moves: bool = True
    """Whether it moved the participant; an answer that came too late is recorded all the same."""


class Saga(msgspec.Struct, kw_only=True):
    """An order as far as the saga is concerned, and what has happened to it in this unit of work."""

    status: Status = Status.PENDING
    reason: str | None = None
    reason_details: dict[str, Any] | None = None
    settled: bool = False
    paid: bool = False
    """Whether the shop has the money for it: no more once all of it has been given back."""
    pays: bool = False
    """Whether paying is part of placing it (`pay_with`)."""
    participants: dict[str, Participant]
    changes: list[Change] = []
    releases: list[str] = []
    """Participants that are to be asked to give back."""
    milestones: list[Milestone] = []
    rejected: list[UUID] = []
    """Payments made for it that it does not take."""
    was_completed: bool = False
    """Whether it had been completed when it failed in this unit of work."""

    def awaits(self) -> bool:
        """Whether somebody has not answered yet."""
        return any(one.state is State.AWAITING for one in self.participants.values())


def hear(
    saga: Saga,
    name: str,
    signal: Signal,
    *,
    reason: str | None = None,
    details: dict[str, Any] | None = None,
    payment_id: UUID | None = None,
) -> bool:
    """A participant said something. Returns whether there is anything to save.

    `reason` and `details` come with a NO and become the order's, if it is the first; `details` with KEPT too.
    Only the first payment of an order takes part in it; what others say is about them alone.
    """
    participant = saga.participants.get(name)
    if participant is None or (payment_id and participant.payment_id not in (None, payment_id)):
        # A payment that is not part of the order, or not the one that is: its yes is a wish to be.
        return bool(payment_id) and signal is Signal.YES and _pay_later(saga, name, payment_id)
    said = {**({"reason": reason} if reason else {}), **(details or {})}
    following = transitions(saga.status).get((participant.state, signal))
    if following is None:
        too_late = was_asked_back(participant.state) and signal in (Signal.YES, Signal.NO)
        if too_late:
            saga.changes.append(Change(HISTORY[name, signal], name, {**said, "ignored": True}, moves=False))
        return too_late
    participant.state = following
    participant.payment_id = payment_id or participant.payment_id
    saga.changes.append(Change(HISTORY[name, signal], name, said or None))
    if following is State.RELEASING:
        _ask_back(saga, name)
    if name == PAYER and following is State.RELEASED:
        saga.paid = False
    if following is State.KEPT:
        saga.reason, saga.reason_details = PAYMENT_KEPT, {"was": saga.reason, **said}
    if saga.status is Status.PENDING and signal is Signal.NO:
        _fail(saga, reason or "rejected", details)
    _close(saga)
    return True


def note_refund_in_part(saga: Saga, details: dict[str, Any]) -> None:
    """A part of a payment was given back, and the order stands: that is history, and nothing else."""
    saga.changes.append(Change(PARTLY_REFUNDED, PAYER, details, moves=False))


def deadline(saga: Saga) -> bool:
    """The deadline passed: a pending order fails, and whoever is still silent is asked to give back.

    A completed order that has still not been paid fails, too.
    """
    match saga.status:
        case Status.PENDING | Status.FAIL:
            return _end_waiting(saga)
        case Status.COMPLETED:
            if not saga.paid:
                _fail(saga, PAYMENT_EXPIRED, None)
            return not saga.paid
        case Status.CANCEL:
            return False
        case _:
            assert_never(saga.status)


def _end_waiting(saga: Saga) -> bool:
    if not saga.awaits():
        return False
    if saga.status is Status.PENDING:
        silent = sorted(n for n, one in saga.participants.items() if one.state is State.AWAITING)
        _fail(saga, TIMEOUT, {"silent": silent})
    for name, participant in saga.participants.items():
        if participant.state is State.AWAITING:
            participant.state = State.RELEASING
            _ask_back(saga, name)
    _close(saga)
    return True


def cancel(saga: Saga, by: str) -> bool:
    """The buyer or an admin cancels. Returns False where the order had been cancelled already or failed."""
    match saga.status:
        case Status.PENDING | Status.COMPLETED:
            _fail(saga, CANCELLED_BY[by], None)
            _close(saga)
            return True
        case Status.FAIL | Status.CANCEL:
            return False
        case _:
            assert_never(saga.status)


def was_cancelled(saga: Saga) -> bool:
    """Whether somebody cancelled it, as opposed to its failing by itself."""
    reason = saga.reason
    if reason == PAYMENT_KEPT and saga.reason_details:
        reason = saga.reason_details["was"]
    return reason in CANCELLED_BY.values()


def _fail(saga: Saga, reason: str, details: dict[str, Any] | None) -> None:
    saga.was_completed = saga.status is Status.COMPLETED
    saga.status = Status.FAIL
    saga.settled = False
    saga.reason, saga.reason_details = reason, details
    saga.changes.append(Change(Milestone.FAILED, None, {"reason": reason, **(details or {})}))
    saga.milestones.append(Milestone.FAILED)
    for name, participant in saga.participants.items():
        if participant.state is State.YES:
            participant.state = State.RELEASING
            _ask_back(saga, name)


def _pay_later(saga: Saga, name: str, payment_id: UUID) -> bool:
    """A payment was made for an order that was placed without one: the first for a completed order counts."""
    if saga.status is Status.COMPLETED and not saga.paid:
        saga.participants[name] = Participant(state=State.YES, payment_id=payment_id)
        saga.changes.append(Change(HISTORY[name, Signal.YES], name))
        _confirm(saga)
    else:
        saga.rejected.append(payment_id)
        details = {"payment_id": str(payment_id)}
        saga.changes.append(Change("CONFIRMATION_REJECTED", name, details, moves=False))
    return True


def _confirm(saga: Saga) -> None:
    saga.paid = True
    saga.changes.append(Change(Milestone.CONFIRMED))
    saga.milestones.append(Milestone.CONFIRMED)


def _ask_back(saga: Saga, name: str) -> None:
    saga.releases.append(name)
    saga.changes.append(Change("RELEASE_REQUESTED", name))


def _close(saga: Saga) -> None:
    """Complete or settle, if every participant has come to its end."""
    states = {one.state for one in saga.participants.values()}
    match saga.status:
        case Status.PENDING:
            if states == {State.YES}:
                _complete(saga)
        case Status.FAIL:
            if not saga.settled and all(map(has_ended, states)):
                _settle(saga, states)
        case Status.COMPLETED | Status.CANCEL:
            pass
        case _:
            assert_never(saga.status)


def _complete(saga: Saga) -> None:
    saga.status, saga.settled = Status.COMPLETED, True
    saga.changes.append(Change(Milestone.COMPLETED))
    saga.milestones.append(Milestone.COMPLETED)
    if saga.pays:
        _confirm(saga)


def _settle(saga: Saga, states: set[State]) -> None:
    saga.settled = True
    if State.RELEASED in states and State.KEPT not in states:
        saga.status = Status.CANCEL
        saga.changes.append(Change(Milestone.CANCELLED))
        saga.milestones.append(Milestone.CANCELLED)
    elif Milestone.FAILED not in saga.milestones or State.KEPT in states:
        # Its failure was told before it had come to rest, or for another reason: followers must learn.
        saga.changes.append(Change(Milestone.SETTLED))
        saga.milestones.append(Milestone.SETTLED)


HISTORY: dict[tuple[str, Signal], str] = {
    ("item", Signal.YES): "STOCK_DEDUCTED",
    ("item", Signal.NO): "STOCK_REJECTED",
    ("item", Signal.RELEASED): "STOCK_RESTORED",
    ("coupon", Signal.YES): "COUPON_APPLIED",
    ("coupon", Signal.NO): "COUPON_REJECTED",
    ("coupon", Signal.RELEASED): "COUPON_RESTORED",
    ("payment", Signal.YES): "PAYMENT_COMPLETED",
    ("payment", Signal.NO): "PAYMENT_DECLINED",
    ("payment", Signal.RELEASED): "PAYMENT_REFUNDED",
    ("payment", Signal.KEPT): "PAYMENT_KEPT",
}
"""What a participant's signal is called in the order's history."""
