"""The rules of points: who can pay for what, what a repeated question is answered, what a charge may be.

Pure: no await, no database, no clock.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from payment_svc.contracts import PaymentCaptured, PaymentDeclined, PaymentRefunded
from shared.errors import FieldError, RuleBroken

Verdict = PaymentCaptured | PaymentDeclined


class Claim(Struct, frozen=True, kw_only=True):
    """What this service has said about an order, for good.

    HELD: `amount` was taken from `user_id`. REJECTED: nothing was, for `reason`. RELEASED: whatever was taken
    is given back; one without a user is the tombstone of an order that was released before it was heard of.
    """

    order_id: UUID
    payment_id: UUID
    state: Literal["HELD", "REJECTED", "RELEASED"]
    user_id: int | None = None
    method: str | None = None
    amount: int | None = None
    reason: str | None = None
    details: dict[str, Any] = {}


class Ask(Struct, frozen=True, kw_only=True):
    """An order that wants to be paid for."""

    order_id: UUID
    payment_id: UUID
    user_id: int
    method: str
    amount: int


class Movement(Struct, frozen=True, kw_only=True):
    """One change of an account, and the balance after it: a row of the ledger to be."""

    user_id: int
    delta: int
    balance: int
    order_id: UUID
    payment_id: UUID


def decide(asks: Iterable[Ask], balances: Mapping[int, int]) -> tuple[list[Claim], list[Movement]]:
    """Take points for every order that can be paid, in the order given, and say no to the others.

    What one order takes is gone for the next one of the same account. An account that is not there has
    nothing. Returns a claim for each ask and the movements of those that pay.
    """
    left = dict(balances)
    claims: list[Claim] = []
    movements: list[Movement] = []
    for ask in asks:
        balance = left.get(ask.user_id, 0)
        if ask.method != "points":
            claims.append(_rejected(ask, "card_declined", {"method": ask.method}))
        elif ask.amount > balance or ask.user_id not in left:
            claims.append(_rejected(ask, "insufficient_points", {"asked": ask.amount, "balance": balance}))
        else:
            left[ask.user_id] = balance - ask.amount
            claims.append(
                Claim(
                    order_id=ask.order_id,
                    payment_id=ask.payment_id,
                    state="HELD",
                    user_id=ask.user_id,
                    method=ask.method,
                    amount=ask.amount,
                )
            )
            movements.append(_movement(claims[-1], ask.user_id, -ask.amount, left))
    return claims, movements


def give_back(claims: Iterable[Claim], balances: Mapping[int, int]) -> list[Movement]:
    """The movements that undo those of these claims that hold something."""
    left = dict(balances)
    movements = []
    for claim in claims:
        if claim.state == "HELD" and claim.user_id is not None and claim.amount is not None:
            left[claim.user_id] = left[claim.user_id] + claim.amount
            movements.append(_movement(claim, claim.user_id, claim.amount, left))
    return movements


def verdict(claim: Claim) -> Verdict:
    """What is answered to an order, each time it asks."""
    if claim.state == "HELD":
        return PaymentCaptured(order_id=claim.order_id, payment_id=claim.payment_id, amount=claim.amount or 0)
    return PaymentDeclined(
        order_id=claim.order_id,
        payment_id=claim.payment_id,
        reason=claim.reason or "released",
        details=claim.details,
    )


def acknowledgement(claim: Claim) -> PaymentRefunded:
    """What is answered to a release, each time it comes."""
    taken = claim.amount or 0 if claim.reason is None else 0
    return PaymentRefunded(
        order_id=claim.order_id, payment_id=claim.payment_id, user_id=claim.user_id, amount=taken
    )


def tombstone(order_id: UUID, payment_id: UUID) -> Claim:
    """Remembers the release of an order that was never heard of, so that it is never paid when it comes."""
    return Claim(order_id=order_id, payment_id=payment_id, state="RELEASED")


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


def _rejected(ask: Ask, reason: str, details: dict[str, Any]) -> Claim:
    return Claim(
        order_id=ask.order_id,
        payment_id=ask.payment_id,
        state="REJECTED",
        user_id=ask.user_id,
        method=ask.method,
        reason=reason,
        details=details,
    )


def _movement(claim: Claim, user_id: int, delta: int, left: Mapping[int, int]) -> Movement:
    return Movement(
        user_id=user_id,
        delta=delta,
        balance=left[user_id],
        order_id=claim.order_id,
        payment_id=claim.payment_id,
    )
