"""The rules of paying: who can pay for what, what is answered to a repetition, what may be bought or granted.

Pure: no await, no database, no clock. What follows from the PG's answers stands in `settling.py`.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from payment_svc.contracts import (
    Method,
    PaymentCaptured,
    PaymentDeclined,
    PaymentKept,
    PaymentRefunded,
    PaymentStatus,
    PaymentView,
)
from shared.errors import Conflict, FieldError, RuleBroken

Verdict = PaymentCaptured | PaymentDeclined
Acknowledgement = PaymentRefunded | PaymentKept

CARD_MAX = 10**12
"""No card pays more at once."""
CHARGED = "charged"
"""Among the details of a payment that is being released: it was charged, so the PG must know of it."""


class State(StrEnum):
    """Where a payment stands. HELD, REJECTED and RELEASED are those of every participant's claim.

    HELD: its amount was taken. REJECTED: nothing was. RELEASED: whatever was taken is given back.
    Where the PG has to be asked: ASKING: we do not know whether the card was charged. RELEASING: it must not
    stay charged, and the PG has not confirmed yet that it is not. NEEDS_ATTENTION: the PG refuses that for
    good, or contradicts what we know, so a person decides. KEPT: a person decided that the shop keeps it.
    """

    ASKING = "ASKING"
    HELD = "HELD"
    REJECTED = "REJECTED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    KEPT = "KEPT"


WAITING = frozenset({State.ASKING, State.RELEASING})
"""Waits for the PG's answer, so it must be known when the PG is asked next."""


def uses_points(method: Method | None) -> bool:
    """Whether what is paid so is taken from the payer's points."""
    match method:
        case "points":
            return True
        case "card" | None:
            return False
        case _:
            assert_never(method)


def uses_pg(method: Method | None) -> bool:
    """Whether what is paid so is taken by the PG."""
    match method:
        case "card":
            return True
        case "points" | None:
            return False
        case _:
            assert_never(method)


def shown(state: State) -> PaymentStatus:
    """What the payer is told of a state, but for a refund in part: see `status`."""
    match state:
        case State.ASKING:
            return "ASKING"
        case State.HELD:
            return "CAPTURED"
        case State.REJECTED:
            return "DECLINED"
        case State.RELEASING:
            return "REFUNDING"
        case State.RELEASED:
            return "REFUNDED"
        case State.NEEDS_ATTENTION:
            return "NEEDS_ATTENTION"
        case State.KEPT:
            return "KEPT"
        case _:
            assert_never(state)


class Payment(Struct, frozen=True, kw_only=True):
    """A payment, or what was said to an order instead. Never deleted. Amounts are won.

    Without an `order_id` it buys points. `attempt` is 0 for the one that is part of placing the order, and
    counts those made later. One without a user is the tombstone of an order that was released before it was
    heard of. `refunded` is what was given back in all, `released` the part of it that the release gave back,
    `refunding` what the PG was asked to give back in part, under `refund_id`. `card_key` names the card to
    the PG. `asked_at` is when the PG was last asked to charge it, `looked_at` when it was asked anything.

    A state that waits for the PG cannot be made without the time of the next question, `ask_due_at`.
    """

    payment_id: UUID
    order_id: UUID | None
    attempt: int = 0
    state: State
    user_id: int | None = None
    method: Method | None = None
    amount: int | None = None
    refunded: int = 0
    released: int = 0
    refunding: int = 0
    refund_id: UUID | None = None
    reason: str | None = None
    details: dict[str, Any] = {}
    resolved: str | None = None
    card_key: str | None = None
    asks: int = 0
    asked_at: datetime | None = None
    looked_at: datetime | None = None
    ask_due_at: datetime | None = None
    created_at: datetime | None = None
    changed_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.state in WAITING and self.ask_due_at is None:
            raise ValueError(f"payment {self.payment_id} is {self.state}, and nobody would look at it again")

    @property
    def left(self) -> int:
        """How many won are held, or would be if it is charged."""
        return (self.amount or 0) - self.refunded

    @property
    def was_charged(self) -> bool:
        """Whether it is known that the card was charged, now that its release was asked for."""
        return bool(self.details.get(CHARGED))

    @property
    def by_card(self) -> bool:
        """Whether the PG may know of it."""
        return uses_pg(self.method) and self.card_key is not None and bool(self.amount)


class Ask(Struct, frozen=True, kw_only=True):
    """Somebody who wants to pay for an order, or (without one) to buy points with a card.

    `refusal` is why it cannot be, where that is known already.
    """

    order_id: UUID | None
    payment_id: UUID
    attempt: int = 0
    user_id: int
    method: Method | None
    amount: int
    card_key: str | None = None
    refusal: dict[str, Any] | None = None


class Intent(Struct, frozen=True, kw_only=True):
    """A number given out before its payment; see `models.IntentRow`."""

    payment_id: UUID
    user_id: int
    order_id: UUID | None
    amount: int | None
    card_key: str | None
    expires_at: datetime
    used_at: datetime | None


class Movement(Struct, frozen=True, kw_only=True):
    """One change of an account, and the balance after it: a row of the ledger to be."""

    user_id: int
    delta: int
    balance: int
    order_id: UUID | None
    payment_id: UUID


def number(text: str) -> UUID | None:
    """A payment's number as another system gives it; None for one that cannot be ours."""
    try:
        return UUID(text)
    except ValueError:
        return None


def decide(
    asks: Iterable[Ask], balances: Mapping[int, int], *, ask_at: datetime
) -> tuple[list[Payment], list[Movement]]:
    """Who is paid for, in the order given, each from what the ones before have left.

    `balances` are the points of those users who have an open account; who has none has nothing. A card is
    not decided here: the PG has to be asked, at `ask_at`. Returns a payment for each ask, and the movements
    of points.
    """
    left = dict(balances)
    payments: list[Payment] = []
    movements: list[Movement] = []
    for ask in asks:
        match ask.method:
            case "card":
                payments.append(_by_card(ask, ask_at))
            case "points" if ask.user_id in left and ask.amount <= left[ask.user_id]:
                left[ask.user_id] -= ask.amount
                payments.append(_made(ask, State.HELD))
                movements.append(_movement(payments[-1], ask.user_id, -ask.amount, left))
            case "points" | None:
                short = {"asked": ask.amount, "balance": left.get(ask.user_id, 0)}
                payments.append(_rejected(ask, "insufficient_points", short))
            case _:
                assert_never(ask.method)
    return payments, movements


def refusal_of_intent(
    intent: Intent | None, *, user_id: int, order_id: UUID | None, amount: int, now: datetime
) -> dict[str, Any] | None:
    """Why a number cannot be used for this payment, as a code and a message; None where it can.

    A number that is another's is answered as one that there is not.
    """
    if intent is None or intent.user_id != user_id:
        return {"code": "INTENT_UNKNOWN", "message": "There is no such payment number."}
    if intent.used_at is not None:
        return number_used()
    if intent.expires_at <= now:
        return {
            "code": "INTENT_EXPIRED",
            "message": f"The payment number ended at {intent.expires_at:%FT%TZ}.",
        }
    if intent.amount not in (None, amount):
        message = f"The payment number is for {intent.amount}, and {amount} is to be paid."
        return {"code": "AMOUNT_DIFFERS", "message": message}
    if intent.order_id not in (None, order_id):
        return {"code": "ORDER_DIFFERS", "message": "The payment number was made for another order."}
    return None


def number_used() -> dict[str, Any]:
    """Why a number cannot be used that has become a payment."""
    return {"code": "INTENT_USED", "message": "The payment number was used already."}


def key_used() -> dict[str, Any]:
    """Why a key cannot pay that pays, or was meant to pay, for something else."""
    return {"code": "PAYMENT_KEY_USED", "message": "The payment key was used for another payment."}


def each_key_once(asks: Iterable[Ask], used: Collection[str]) -> list[Ask]:
    """These asks, of which a key that was `used` before, here or by another payment, pays only the first."""
    taken = set(used)
    checked: list[Ask] = []
    for ask in asks:
        if ask.card_key is not None and ask.refusal is None:
            if ask.card_key in taken:
                checked.append(replace(ask, refusal=key_used()))
                continue
            taken.add(ask.card_key)
        checked.append(ask)
    return checked


def next_attempt(latest: Payment | None) -> int:
    """The number of another payment for an order. Raises `Conflict` while the latest one may still count."""
    if latest is None:
        return 1
    match latest.state:
        case State.HELD:
            raise Conflict("The order is paid already.")
        case State.ASKING | State.RELEASING | State.NEEDS_ATTENTION:
            raise Conflict("Another payment for this order is under way.")
        case State.REJECTED | State.RELEASED | State.KEPT:
            return latest.attempt + 1
        case _:
            assert_never(latest.state)


def after_release(payment: Payment, now: datetime, *, patience: timedelta) -> Payment | None:
    """A payment once its release was asked for; None where the release changes nothing.

    A card that may be charged is not given back yet: the PG is asked. One that the PG is being asked about
    already is asked within `patience`, whatever was put off before. What a person decides waits for that.
    """
    match payment.state:
        case State.ASKING | State.HELD if payment.by_card:
            known = {**payment.details, CHARGED: True} if payment.state is State.HELD else payment.details
            return replace(payment, state=State.RELEASING, details=known, refunding=0, asks=0, ask_due_at=now)
        case State.HELD:
            left = payment.left
            return replace(
                payment, state=State.RELEASED, refunded=payment.amount or 0, released=left, ask_due_at=None
            )
        case State.REJECTED | State.ASKING:
            return replace(payment, state=State.RELEASED)
        case State.NEEDS_ATTENTION if payment.details.get("wanted") != "cancel":
            return replace(payment, details={**payment.details, "wanted": "cancel"})
        case State.RELEASING if payment.ask_due_at is None or payment.ask_due_at > now + patience:
            return replace(payment, ask_due_at=now)
        case State.NEEDS_ATTENTION | State.RELEASING | State.RELEASED | State.KEPT:
            return None
        case _:
            assert_never(payment.state)


def give_back(payments: Iterable[Payment], balances: Mapping[int, int]) -> list[Movement]:
    """The movements that undo what those of these payments hold that were made with points."""
    left = dict(balances)
    movements = []
    for payment in payments:
        if holds_points(payment) and payment.user_id is not None:
            left[payment.user_id] = left[payment.user_id] + payment.left
            movements.append(_movement(payment, payment.user_id, payment.left, left))
    return movements


def holds_points(payment: Payment) -> bool:
    """Whether points were taken and not all given back."""
    return payment.state is State.HELD and uses_points(payment.method)


def part_to_refund(payment: Payment, amount: int | None, refund_id: UUID) -> int | None:
    """How much of a payment is to be given back in part; None where its order is to be cancelled for it.

    A purchase of points has none: all that is left of it goes back as a part does. Raises `Conflict` where
    nothing is held or another refund is under way, `RuleBroken` for too much.
    """
    if payment.state is not State.HELD:
        raise Conflict(f"The payment is {status(payment)}: there is nothing to give back.")
    if payment.refunding and payment.refund_id != refund_id:
        raise Conflict(f"Another refund of {payment.refunding} is under way.")
    if payment.order_id is not None and amount in (None, payment.left):
        return None
    amount = payment.left if amount is None else amount
    if amount > payment.left:
        raise RuleBroken(
            f"At most {payment.left} of {payment.amount} can still be given back.",
            errors=[FieldError("amount", f"Expected 1 to {payment.left}")],
        )
    return amount


def verdict(payment: Payment) -> Verdict | None:
    """What is answered to an order, each time it asks; None while it is not known."""
    if payment.order_id is None:
        return None
    match payment.state:
        case State.HELD:
            return PaymentCaptured(
                order_id=payment.order_id, payment_id=payment.payment_id, amount=payment.amount or 0
            )
        case State.REJECTED | State.RELEASING | State.RELEASED | State.KEPT:
            return PaymentDeclined(
                order_id=payment.order_id,
                payment_id=payment.payment_id,
                reason=payment.reason or "released",
                details=payment.details,
            )
        case State.ASKING | State.NEEDS_ATTENTION:
            return None
        case _:
            assert_never(payment.state)


def acknowledgement(payment: Payment) -> Acknowledgement | None:
    """What is answered to a release, each time it comes; None while it cannot be answered."""
    if payment.order_id is None:
        return None
    match payment.state:
        case State.RELEASED:
            return PaymentRefunded(
                order_id=payment.order_id,
                payment_id=payment.payment_id,
                user_id=payment.user_id,
                amount=payment.released,
            )
        case State.KEPT if payment.user_id is not None:
            return PaymentKept(
                order_id=payment.order_id,
                payment_id=payment.payment_id,
                user_id=payment.user_id,
                amount=payment.left,
                note=str(payment.details.get("note") or "kept"),
            )
        case (
            State.ASKING | State.HELD | State.REJECTED | State.RELEASING | State.NEEDS_ATTENTION | State.KEPT
        ):
            return None
        case _:
            assert_never(payment.state)


def tombstone(order_id: UUID, payment_id: UUID) -> Payment:
    """Remembers the release of an order that was never heard of, so that it is never paid when it comes."""
    return Payment(order_id=order_id, payment_id=payment_id, state=State.RELEASED)


def status(payment: Payment) -> PaymentStatus:
    """What a payer is shown of where a payment stands."""
    if payment.state is State.HELD and payment.refunded:
        return "PARTLY_REFUNDED"
    return shown(payment.state)


def view(payment: Payment) -> PaymentView:
    """A payment as its payer sees it."""
    return PaymentView(
        id=payment.payment_id,
        order_id=payment.order_id,
        method=payment.method or "points",
        amount=payment.amount or 0,
        refunded=payment.refunded,
        status=status(payment),
        reason=payment.reason,
        details=payment.details,
        created_at=payment.created_at,
    )


def check_charge(amount: int, balance: int, *, largest: int, most: int) -> None:
    """Raises `RuleBroken` unless so many points may be bought at once, and held afterwards."""
    if not 1 <= amount <= largest:
        raise RuleBroken(
            f"1 to {largest} points can be bought at once.",
            errors=[FieldError("amount", f"Expected 1 to {largest}")],
        )
    balance_after(balance, amount, most, field="amount")


def balance_after(balance: int, delta: int, most: int, *, field: str = "delta") -> int:
    """The balance after points were added or taken. Raises `RuleBroken` if an account may not hold that.

    `field` is what the asker calls `delta`.
    """
    after = balance + delta
    if after < 0:
        raise RuleBroken(
            f"Only {balance} points are there.", errors=[FieldError(field, f"Expected at least {-balance}")]
        )
    if delta > 0 and after > most:
        raise RuleBroken(
            f"An account holds at most {most} points.",
            errors=[FieldError(field, f"Expected at most {max(0, most - balance)}")],
        )
    return after


def card_key(method: Method | None, given: str | None, test_key: str, payment_id: UUID) -> str | None:
    """What names the card of a payment to the PG: the key that its buyer brought, or that of a test card.

    Every payment has a key of its own, since the PG takes a key once. None where there is no card.
    """
    if not uses_pg(method):
        return None
    return given or (f"{test_key}{payment_id}" if test_key else None)


def check_method(method: Method, card_key: str | None, *, has_intent: bool) -> None:
    """Raises `RuleBroken` for a card's key or number where no card pays."""
    errors = []
    if not uses_pg(method) and card_key is not None:
        errors.append(FieldError("payment_key", "is for the method card"))
    if not uses_pg(method) and has_intent:
        errors.append(FieldError("payment_id", "is for the method card"))
    if errors:
        raise RuleBroken("Only a card has a payment key and a payment number.", errors=errors)


def refusal(payment: Payment) -> RuleBroken:
    """What the payer of a declined payment is told."""
    if payment.reason == "insufficient_points":
        asked, balance = payment.details.get("asked"), payment.details.get("balance")
        return RuleBroken(f"The points do not suffice: {asked} are asked for, {balance} are there.")
    code, message = payment.details.get("code", "DECLINED"), payment.details.get("message", "")
    return RuleBroken(f"The card was declined ({code}). {message}".rstrip())


def unusable(refusal: Mapping[str, Any]) -> RuleBroken:
    """What is told to somebody who pays with a number or key that cannot be used."""
    field = "payment_key" if refusal["code"] == "PAYMENT_KEY_USED" else "payment_id"
    return RuleBroken(
        f"{refusal['message']} ({refusal['code']})", errors=[FieldError(field, refusal["message"])]
    )


def _by_card(ask: Ask, ask_at: datetime) -> Payment:
    if ask.refusal is not None:
        return _rejected(ask, "card_declined", ask.refusal)
    if ask.card_key is None:
        details = {"code": "NO_PAYMENT_KEY", "message": "A card needs a payment key."}
        return _rejected(ask, "card_declined", details)
    if ask.amount > CARD_MAX:
        details = {"code": "EXCEED_MAX_AMOUNT", "message": "This is too much for a card."}
        return _rejected(ask, "card_declined", details)
    if not ask.amount:
        return _made(ask, State.HELD)
    return replace(_made(ask, State.HELD), state=State.ASKING, ask_due_at=ask_at)


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
