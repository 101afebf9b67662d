"""The rules of placing an order. Pure."""

from order_svc.contracts import Line, LineRequest, PlaceOrder
from shared.errors import FieldError, RuleBroken

COUPONS_PER_LINE = 2
TOTAL_MAX = 10**18
"""Above it, sums would no longer fit the integers of databases and of JSON readers."""


def lines_of(call: PlaceOrder) -> list[Line]:
    """The lines as ordered, with every price filled in. Raises `RuleBroken`, naming each bad field."""
    errors = [error for number, line in enumerate(call.lines) for error in _broken(number, line)]
    errors += _used_twice(call.lines)
    if call.payment_id is not None and call.pay_with != "card":
        errors.append(FieldError("payment_id", "is for orders that pay with a card (pay_with)"))
    if errors:
        raise RuleBroken("The order breaks the rules of placing one.", errors=errors)
    return [
        Line(
            item_id=line.item_id,
            quantity=line.quantity,
            unit_price=line.unit_price,
            discounted_price=line.unit_price if line.discounted_price is None else line.discounted_price,
            user_coupon_ids=line.user_coupon_ids,
        )
        for line in call.lines
    ]


def total_of(lines: list[Line]) -> int:
    """What the order costs, in the smallest unit of money. Raises `RuleBroken` above `TOTAL_MAX`."""
    total = sum(line.quantity * line.discounted_price for line in lines)
    if total > TOTAL_MAX:
        raise RuleBroken(f"The order's total is {total}; at most {TOTAL_MAX} is allowed.")
    return total


def participants_of(call: PlaceOrder) -> list[str]:
    """Whom the order concerns: item always, coupon and payment where it uses them."""
    names = ["item"]
    if any(line.user_coupon_ids for line in call.lines):
        names.append("coupon")
    if call.pay_with is not None:
        names.append("payment")
    return names


def _broken(number: int, line: LineRequest) -> list[FieldError]:
    at = f"lines[{number}]"
    errors = []
    if len(line.user_coupon_ids) > COUPONS_PER_LINE:
        errors.append(
            FieldError(
                f"{at}.user_coupon_ids", f"{len(line.user_coupon_ids)} coupons; a line takes at most 2"
            )
        )
    if line.user_coupon_ids and line.quantity != 1:
        errors.append(FieldError(f"{at}.quantity", f"is {line.quantity}; a line with coupons has quantity 1"))
    if line.user_coupon_ids and line.discounted_price is None:
        errors.append(FieldError(f"{at}.discounted_price", "is required on a line with coupons"))
    if not line.user_coupon_ids and line.discounted_price not in (None, line.unit_price):
        errors.append(
            FieldError(
                f"{at}.discounted_price",
                f"is {line.discounted_price}; without coupons it is absent or {line.unit_price}",
            )
        )
    return errors


def _used_twice(lines: list[LineRequest]) -> list[FieldError]:
    errors, used = [], set[int]()
    for number, line in enumerate(lines):
        for coupon_id in line.user_coupon_ids:
            if coupon_id in used:
                errors.append(
                    FieldError(f"lines[{number}].user_coupon_ids", f"{coupon_id} is used twice in this order")
                )
            used.add(coupon_id)
    return errors
