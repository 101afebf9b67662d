"""The rules of paying: who can pay for what, what a repeated question is answered, what a charge may be.

Pure: no await, no database, no clock.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

from payment_svc.contracts import (
    Method,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentStatus,
    PaymentView,
)
from payment_svc.pg import Finding
from shared.errors import Conflict, FieldError, RuleBroken

Verdict = PaymentCaptured | PaymentDeclined

CARD_MAX = 10**12
"""No card pays more at once."""


class State(StrEnum):
    """Where a payment stands. The first three are those of every participant's claim.

    HELD: its amount was taken. REJECTED: nothing was. RELEASED: whatever was taken is given back.
    Where the PG has to be asked: ASKING: we do not know whether the card was charged. RELEASING: it must not
    stay charged, and the PG has not confirmed yet that it is not.
    """

    ASKING = "ASKING"
    HELD = "HELD"
    REJECTED = "REJECTED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"


LIVE = frozenset({State.ASKING, State.HELD, State.RELEASING})
"""While one payment of an order stands so, there is no other."""

SHOWN: dict[State, PaymentStatus] = {
    State.ASKING: "ASKING",
    State.HELD: "CAPTURED",
    State.REJECTED: "DECLINED",
    State.RELEASING: "REFUNDING",
    State.RELEASED: "REFUNDED",
}
"""What the payer is told."""


class Payment(Struct, frozen=True, kw_only=True):
    """A payment of an order, or what was said instead. Never deleted.

    `attempt` is 0 for the one that is part of placing the order, and counts those made later. One without a
    user is the tombstone of an order that was released before it was heard of. `card_key` names the card to
    the PG. `asked_at` is when the PG was last asked to charge it.
    """

    payment_id: UUID
    order_id: UUID
    attempt: int = 0
    state: State
    user_id: int | None = None
    method: str | None = None
    amount: int | None = None
    reason: str | None = None
    details: dict[str, Any] = {}
    card_key: str | None = None
    asks: int = 0
    asked_at: datetime | None = None
    created_at: datetime | None = None


class Ask(Struct, frozen=True, kw_only=True):
    """An order that wants to be paid for."""

    order_id: UUID
    payment_id: UUID
    attempt: int = 0
    user_id: int
    method: str
    amount: int
    card_key: str | None = None


class Movement(Struct, frozen=True, kw_only=True):
    """One change of an account, and the balance after it: a row of the ledger to be."""

    user_id: int
    delta: int
    balance: int
    order_id: UUID
    payment_id: UUID


def decide(asks: Iterable[Ask], balances: Mapping[int, int]) -> tuple[list[Payment], list[Movement]]:
    """Who is paid for, in the order given, each from what the ones before have left.

    `balances` are the points of those users who have an open account; who has none has nothing. A card is
    not decided here: the PG has to be asked. Returns a payment for each ask, and the movements of points.
    """
    left = dict(balances)
    payments: list[Payment] = []
    movements: list[Movement] = []
    for ask in asks:
        if ask.method == "card":
            payments.append(_by_card(ask))
            continue
        balance = left.get(ask.user_id, 0)
        if ask.method != "points" or ask.amount > balance or ask.user_id not in left:
            payments.append(_rejected(ask, "insufficient_points", {"asked": ask.amount, "balance": balance}))
            continue
        left[ask.user_id] = balance - ask.amount
        payments.append(_made(ask, State.HELD))
        movements.append(_movement(payments[-1], ask.user_id, -ask.amount, left))
    return payments, movements


def next_attempt(latest: Payment | None) -> int:
    """The number of another payment for an order. Raises `Conflict` while the latest one may still count."""
    if latest is None:
        return 1
    if latest.state in LIVE:
        raise Conflict(
            "The order is paid already."
            if latest.state is State.HELD
            else "Another payment for this order is under way."
        )
    return latest.attempt + 1


def after_release(payment: Payment) -> State:
    """Where a payment stands once its release was asked for; a card that may be charged is not back yet."""
    asks_the_pg = payment.method == "card" and bool(payment.amount)
    return State.RELEASING if payment.state in LIVE and asks_the_pg else State.RELEASED


def give_back(payments: Iterable[Payment], balances: Mapping[int, int]) -> list[Movement]:
    """The movements that undo those of these payments that hold points."""
    left = dict(balances)
    movements = []
    for payment in payments:
        if holds_points(payment) and payment.user_id is not None and payment.amount is not None:
            left[payment.user_id] = left[payment.user_id] + payment.amount
            movements.append(_movement(payment, payment.user_id, payment.amount, left))
    return movements


def holds_points(payment: Payment) -> bool:
    """Whether points were taken and not given back."""
    return payment.state is State.HELD and payment.method == "points"


def verdict(payment: Payment) -> Verdict | None:
    """What is answered to an order, each time it asks; None while it is not known."""
    if payment.state is State.ASKING:
        return None
    if payment.state is State.HELD:
        return PaymentCaptured(
            order_id=payment.order_id, payment_id=payment.payment_id, amount=payment.amount or 0
        )
    return PaymentDeclined(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        reason=payment.reason or "released",
        details=payment.details,
    )


def acknowledgement(payment: Payment) -> PaymentRefunded:
    """What is answered to a release, each time it comes."""
    taken = payment.amount or 0 if payment.reason is None else 0
    return PaymentRefunded(
        order_id=payment.order_id, payment_id=payment.payment_id, user_id=payment.user_id, amount=taken
    )


def tombstone(order_id: UUID, payment_id: UUID) -> Payment:
    """Remembers the release of an order that was never heard of, so that it is never paid when it comes."""
    return Payment(order_id=order_id, payment_id=payment_id, state=State.RELEASED)


def found(payment: Payment, finding: Finding) -> State | None:
    """Where a payment stands after the PG was asked about its card; None: not known, ask again.

    A payment that is being released may only rest once nothing is charged and nothing can be any more.
    """
    if payment.state is State.ASKING:
        return {
            Finding.CHARGED: State.HELD,
            Finding.REFUSED: State.REJECTED,
            Finding.CANCELLED: State.REJECTED,
        }.get(finding)
    if payment.state is State.RELEASING:
        return State.RELEASED if finding in (Finding.REFUSED, Finding.CANCELLED) else None
    return None


def view(payment: Payment) -> PaymentView:
    """A payment as its payer sees it."""
    return PaymentView(
        id=payment.payment_id,
        order_id=payment.order_id,
        method="card" if payment.method == "card" else "points",
        amount=payment.amount or 0,
        status=SHOWN[payment.state],
        reason=payment.reason,
        details=payment.details,
        created_at=payment.created_at,
    )


def check_charge(amount: int, largest: int) -> None:
    """Raises `RuleBroken` unless so many points may be added at once."""
    if not 1 <= amount <= largest:
        raise RuleBroken(
            f"A charge is 1 to {largest} points.", errors=[FieldError("amount", f"Expected 1 to {largest}")]
        )


def balance_after(balance: int, amount: int, largest: int) -> int:
    """The balance after a charge. Raises `RuleBroken` if an account may not hold as much."""
    if balance + amount > largest:
        raise RuleBroken(
            f"An account holds at most {largest} points.",
            errors=[FieldError("amount", f"Expected at most {max(0, largest - balance)}")],
        )
    return balance + amount


def card_key(method: str | None, given: str | None, test_key: str, payment_id: UUID) -> str | None:
    """What names the card of a payment to the PG: the key that its buyer brought, or that of a test card.

    Every payment has a key of its own, since the PG takes a key once. None where there is no card.
    """
    if method != "card":
        return None
    return given or (f"{test_key}{payment_id}" if test_key else None)


def check_method(method: Method, card_key: str | None) -> None:
    """Raises `RuleBroken` for a card's key where no card pays."""
    if card_key is not None and method != "card":
        raise RuleBroken(
            "Only a card has a payment key.", errors=[FieldError("payment_key", "is for the method card")]
        )


def refusal(payment: Payment) -> RuleBroken:
    """What the payer of a declined payment is told."""
    if payment.reason == "insufficient_points":
        asked, balance = payment.details.get("asked"), payment.details.get("balance")
        return RuleBroken(f"The points do not suffice: {asked} are asked for, {balance} are there.")
    code, message = payment.details.get("code", "DECLINED"), payment.details.get("message", "")
    return RuleBroken(f"The card was declined ({code}). {message}".rstrip())


def _by_card(ask: Ask) -> Payment:
    if ask.card_key is None:
        details = {"code": "NO_PAYMENT_KEY", "message": "A card needs a payment key."}
        return _rejected(ask, "card_declined", details)
    if ask.amount > CARD_MAX:
        details = {"code": "EXCEED_MAX_AMOUNT", "message": "This is too much for a card."}
        return _rejected(ask, "card_declined", details)
    return _made(ask, State.ASKING if ask.amount else State.HELD)


def _made(ask: Ask, state: State) -> Payment:
    return Payment(
        order_id=ask.order_id,
        payment_id=ask.payment_id,
        attempt=ask.attempt,
        state=state,
        user_id=ask.user_id,
        method=ask.method,
        amount=ask.amount,
        card_key=ask.card_key,
    )


def _rejected(ask: Ask, reason: str, details: dict[str, Any]) -> Payment:
    return Payment(
        order_id=ask.order_id,
        payment_id=ask.payment_id,
        attempt=ask.attempt,
        state=State.REJECTED,
        user_id=ask.user_id,
        method=ask.method,
        reason=reason,
        details=details,
    )


def _movement(payment: Payment, user_id: int, delta: int, left: Mapping[int, int]) -> Movement:
    return Movement(
        user_id=user_id,
        delta=delta,
        balance=left[user_id],
        order_id=payment.order_id,
        payment_id=payment.payment_id,
    )
