"""The kinds of coupon: what each takes off a price, and how that is told and kept. Pure.

All that depends on the kind stands here, in a `match` without a default: whoever adds one to
`contracts.CouponKind` is shown each of these places by the type checker.
"""

from typing import TypedDict, assert_never

from coupon_svc.contracts import CouponKind, CreatePolicy
from shared.errors import FieldError


class Discount(TypedDict):
    """What a coupon takes off, as contracts tell it: won, or percent. What is not of its kind is None."""

    discount_amount: int | None
    discount_percent: int | None


def turn(kind: CouponKind) -> int:
    """When a coupon's turn comes among those of a line: the lower goes first."""
    match kind:
        case "fixed":
            return 0
        case "percentage":
            return 1
        case _:
            assert_never(kind)


def reduced(price: int, kind: CouponKind, value: int) -> int:
    """A price after one coupon: an amount takes at most half of it, percentages are rounded down."""
    match kind:
        case "fixed":
            return price - min(value, price // 2)
        case "percentage":
            return price * (100 - value) // 100
        case _:
            assert_never(kind)


def rivals(kind: CouponKind, value: int) -> tuple[CouponKind, int]:
    """What coupons have in common among which a larger value is never worse, floor prices aside."""
    match kind:
        case "fixed" | "percentage":
            return kind, 0
        case _:
            assert_never(kind)


def told(kind: CouponKind, value: int) -> Discount:
    """The discount of a coupon of this kind whose policy keeps this value."""
    match kind:
        case "fixed":
            return Discount(discount_amount=value, discount_percent=None)
        case "percentage":
            return Discount(discount_amount=None, discount_percent=value)
        case _:
            assert_never(kind)


def value_of(wish: CreatePolicy) -> int | list[FieldError]:
    """The value that a new policy keeps of its discount, or what is wrong with how that is given."""
    match wish.kind:
        case "fixed":
            value, wanted = wish.discount_amount, {"discount_amount"}
        case "percentage":
            value, wanted = wish.discount_percent, {"discount_percent"}
        case _:
            assert_never(wish.kind)
    given = {field for field in Discount.__annotations__ if getattr(wish, field) is not None}
    errors = [FieldError(field, f"is required for a {wish.kind} coupon") for field in sorted(wanted - given)]
    errors += [
        FieldError(field, f"has no meaning for a {wish.kind} coupon") for field in sorted(given - wanted)
    ]
    return errors if errors or value is None else value
