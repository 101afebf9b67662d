"""The rules of coupons: pure functions, no await, no database, no clock.

Money is in whole won. Two coupons at most go on one piece: fixed amounts before percentages.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from msgspec import Struct

from coupon_svc import kinds
from coupon_svc.contracts import CouponKind, CreatePolicy
from shared.errors import Conflict, FieldError, NotFound, RuleBroken
from shared.messages import Rejection

MAX_PER_LINE = 2

Why = Literal[
    "unknown",
    "used",
    "not_yet_valid",
    "expired",
    "too_many",
    "repeated",
    "quantity",
    "below_floor_price",
]


class PricedLine(Struct, frozen=True, kw_only=True):
    """So many of an item at today's price, and the coupons to be used on it."""

    item_id: int
    quantity: int
    unit_price: int
    user_coupon_ids: list[int] = []


class Line(PricedLine, frozen=True, kw_only=True):
    """A line of an order; with coupons, `discounted_price` is what the buyer expects to pay for the piece."""

    discounted_price: int


class Coupon(NamedTuple):
    """A coupon in a user's hands, with the terms of its policy. What `value` means is its kind's matter."""

    id: int
    user_id: int
    kind: CouponKind
    value: int
    floor_price: int
    valid_from: datetime
    valid_until: datetime
    used_by: UUID | None = None


class Refusal(NamedTuple):
    """Why a coupon cannot be used, with what is worth knowing about it."""

    user_coupon_id: int
    why: Why
    facts: dict[str, Any]


def discounted_price(price: int, coupons: Sequence[Coupon]) -> int:
    """A price after coupons, floor prices aside.

    Fixed amounts go first, each at most half of what is left of the price; then percentages, rounded down.
    Among the same kind the larger goes first, then the lower id.
    """
    for coupon in sorted(coupons, key=_turn):
        price = kinds.reduced(price, coupon.kind, coupon.value)
    return price


def _turn(coupon: Coupon) -> tuple[int, int, int]:
    return kinds.turn(coupon.kind), -coupon.value, coupon.id


def refusal_of_shape(user_coupon_ids: Sequence[int]) -> Refusal | None:
    """What is wrong with a line's coupons whatever they are: too many, or one of them twice."""
    if len(user_coupon_ids) > MAX_PER_LINE:
        return Refusal(user_coupon_ids[MAX_PER_LINE], "too_many", {"allowed": MAX_PER_LINE})
    for place, user_coupon_id in enumerate(user_coupon_ids):
        if user_coupon_id in user_coupon_ids[:place]:
            return Refusal(user_coupon_id, "repeated", {})
    return None


def refusal_of_use(
    user_coupon_id: int, known: Mapping[int, Coupon], buyer_id: int, at: datetime
) -> Refusal | None:
    """Why this buyer cannot use a coupon at that time. Another's coupon is as unknown as one that is not."""
    coupon = known.get(user_coupon_id)
    if coupon is None or coupon.user_id != buyer_id:
        return Refusal(user_coupon_id, "unknown", {})
    if coupon.used_by is not None:
        return Refusal(user_coupon_id, "used", {})
    if at < coupon.valid_from:
        return Refusal(user_coupon_id, "not_yet_valid", {"valid_from": coupon.valid_from.isoformat()})
    if at >= coupon.valid_until:
        return Refusal(user_coupon_id, "expired", {"valid_until": coupon.valid_until.isoformat()})
    return None


def price_with(price: int, coupons: Sequence[Coupon]) -> int | Refusal:
    """A price after coupons, or the refusal of the coupon whose floor price is the highest and not kept."""
    reduced = discounted_price(price, coupons)
    highest = max(coupons, key=lambda coupon: coupon.floor_price, default=None)
    if highest is not None and reduced < highest.floor_price:
        facts = {"price": reduced, "floor_price": highest.floor_price}
        return Refusal(highest.id, "below_floor_price", facts)
    return reduced


def saving(price: int, coupons: Sequence[Coupon]) -> int:
    """What coupons take off a price; nothing where they may not be used on it."""
    reduced = price_with(price, coupons)
    return 0 if isinstance(reduced, Refusal) else price - reduced


def judge(
    lines: Sequence[Line], buyer_id: int, at: datetime, known: Mapping[int, Coupon]
) -> list[int] | Rejection:
    """The coupons that an order placed at `at` uses up, or why it cannot.

    `known` holds at least those of the order's coupons that exist. The base of each price is the line's own
    `unit_price`: whether that is today's price is for item to say.
    """
    used: set[int] = set()
    for line in lines:
        expected = price_of_line(line, used, buyer_id, at, known)
        if isinstance(expected, Refusal):
            return _rejected(expected)
        if line.discounted_price != expected:
            details = {"item_id": line.item_id, "asked": line.discounted_price, "expected": expected}
            return Rejection("discount_mismatch", details)
        used.update(line.user_coupon_ids)
    return [one for line in lines for one in line.user_coupon_ids]


def price_of_line(
    line: PricedLine, used_before: Set[int], buyer_id: int, at: datetime, known: Mapping[int, Coupon]
) -> int | Refusal:
    """What one piece of a line costs with its coupons, some others being used by the lines before it."""
    refusal = _refusal_of_line(line, used_before)
    for user_coupon_id in line.user_coupon_ids:
        refusal = refusal or refusal_of_use(user_coupon_id, known, buyer_id, at)
    return refusal or price_with(line.unit_price, [known[one] for one in line.user_coupon_ids])


def _refusal_of_line(line: PricedLine, used_before: Set[int]) -> Refusal | None:
    if not line.user_coupon_ids:
        return None
    if refusal := refusal_of_shape(line.user_coupon_ids):
        return refusal
    if line.quantity != 1:
        return Refusal(line.user_coupon_ids[0], "quantity", {"quantity": line.quantity, "allowed": 1})
    for user_coupon_id in line.user_coupon_ids:
        if user_coupon_id in used_before:
            return Refusal(user_coupon_id, "repeated", {})
    return None


def _rejected(refusal: Refusal) -> Rejection:
    details = {"user_coupon_id": refusal.user_coupon_id, "why": refusal.why, **refusal.facts}
    return Rejection("coupon_invalid", details)


def explain(refusal: Refusal) -> str:
    """A refusal in words."""
    facts = refusal.facts
    match refusal.why:
        case "unknown":
            return f"You have no coupon {refusal.user_coupon_id}."
        case "used":
            return f"Coupon {refusal.user_coupon_id} is used already."
        case "not_yet_valid":
            return f"Coupon {refusal.user_coupon_id} is not valid before {facts['valid_from']}."
        case "expired":
            return f"Coupon {refusal.user_coupon_id} was valid until {facts['valid_until']}."
        case "too_many":
            return f"At most {MAX_PER_LINE} coupons can be used on one line."
        case "repeated":
            return f"Coupon {refusal.user_coupon_id} is named twice."
        case "quantity":
            return "A line with coupons must have quantity 1."
        case "below_floor_price":
            return (
                f"The price would fall to {facts['price']}; with coupon {refusal.user_coupon_id}"
                f" it may not fall below {facts['floor_price']}."
            )


def check_terms(wish: CreatePolicy) -> int:
    """The value of a new policy's discount. Raises `RuleBroken` unless its terms make sense together."""
    value = kinds.value_of(wish)
    errors = value if isinstance(value, list) else []
    if wish.valid_until <= wish.valid_from:
        errors.append(FieldError("valid_until", "must be later than valid_from"))
    if errors or isinstance(value, list):
        raise RuleBroken("These terms do not fit together.", errors=errors)
    return value


class Stock(NamedTuple):
    """How much of a policy is there to hand out."""

    name: str
    valid_from: datetime
    valid_until: datetime
    quantity: int | None
    issued: int
    per_user_limit: int | None


def check_issue(stock: Stock, held: Mapping[int, int], user_ids: Sequence[int], at: datetime) -> None:
    """Whether each of these users can get one more; `held` says how many of it each has had.

    Raises `RuleBroken` for a policy that has ended or a user named twice, `Conflict` when too few are left or
    somebody has had as many as anybody may.
    """
    if at >= stock.valid_until:
        raise RuleBroken(f"{stock.name!r} was valid until {stock.valid_until.isoformat()}.")
    if len(set(user_ids)) < len(user_ids):
        raise RuleBroken("A user is named twice.", errors=[FieldError("user_ids", "must all be different")])
    if stock.quantity is not None and stock.issued + len(user_ids) > stock.quantity:
        left = stock.quantity - stock.issued
        raise Conflict(f"Of {stock.name!r} {left} are left." if left else f"All of {stock.name!r} are gone.")
    limit = stock.per_user_limit
    full = [] if limit is None else [user_id for user_id in user_ids if held.get(user_id, 0) >= limit]
    if full:
        who = ", ".join(map(str, full[:10]))
        raise Conflict(f"Nobody may have more than {limit} of {stock.name!r}: user {who} would.")


def check_known(user_ids: Sequence[int], known: Collection[int]) -> None:
    """Raises `RuleBroken` that names those of some users who are not among the known ones."""
    there = set(known)
    errors = [
        FieldError(f"user_ids[{number}]", f"there is no user {user_id}")
        for number, user_id in enumerate(user_ids)
        if user_id not in there
    ]
    if errors:
        raise RuleBroken("Some of these users do not exist.", errors=errors)


def no_policy(policy_id: int) -> NotFound:
    """What is answered about a policy that there is not."""
    return NotFound(f"There is no coupon {policy_id}.")


def check_begun(stock: Stock, at: datetime) -> None:
    """Raises `RuleBroken` before the policy's window: only an admin may hand out coupons early."""
    if at < stock.valid_from:
        raise RuleBroken(f"{stock.name!r} can be had from {stock.valid_from.isoformat()} on.")


def tidy(text: str, field: str) -> str:
    """A name as it is kept: without spaces around it. Raises `RuleBroken` if nothing is left."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise RuleBroken(
            f"The {field} has control characters.",
            errors=[FieldError(field, "must be plain text on one line")],
        )
    if tidied := text.strip():
        return tidied
    raise RuleBroken(f"The {field} is empty.", errors=[FieldError(field, "must have more than spaces")])
