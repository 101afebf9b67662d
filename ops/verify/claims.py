"""What must hold between orders and what their participants keep of them."""

from collections.abc import Iterator

from ops.verify.check import Check
from ops.verify.order_records import OrderRecords, pieces, summed
from ops.verify.tables import Claim, Payment

# How a claim may stand while its order knows the participant to stand so; RELEASING says nothing about it.
_FITTING = {
    "YES": ("HELD",),
    "NO": ("REJECTED",),
    "RELEASED": ("RELEASED",),
    "KEPT": ("KEPT",),
}
# The payment of an order that stands may wait for a person; one that was given up may be found charged after
# all, and is given back (again).
_AFTER_ALL = ("RELEASING", "RELEASED", "NEEDS_ATTENTION", "KEPT")
_FITTING_PAYMENT = _FITTING | {"YES": ("HELD", "NEEDS_ATTENTION"), "RELEASED": _AFTER_ALL}


def _claim(records: OrderRecords, service: str) -> Claim | Payment | None:
    match service:
        case "item":
            return records.item_claim
        case "coupon":
            return records.coupon_claim
        case _:
            return records.payment


def claims_agree(service: str) -> Check[OrderRecords]:
    """Every claim agrees with what its order knows of this participant."""
    fitting = _FITTING_PAYMENT if service == "payment" else _FITTING

    def find(records: OrderRecords) -> Iterator[str]:
        participant = records.participants.get(service)
        if participant is None or records.order is None:
            return
        claim = _claim(records, service)
        known, found = participant.state, claim.state if claim else "missing"
        fits = found != "RELEASED" if known == "AWAITING" else found in fitting.get(known, (found,))
        if service == "payment" and known == "NO" and claim and claim.reason:
            fits = fits or found in _AFTER_ALL
        if not fits:
            yield (
                f"order {records.id} ({records.status}): {service} stands at {known}, but its claim is"
                f" {found}"
            )

    return Check(f"{service} claims agree with their orders", find)


def claims_have_orders(service: str) -> Check[OrderRecords]:
    """Nobody holds anything for an order that does not know of it."""

    def find(records: OrderRecords) -> Iterator[str]:
        for state in _unknown(records, service):
            yield (
                f"order {records.id}: {service} has a claim ({state}), but is no participant of such an order"
            )

    return Check(f"{service} claims belong to orders", find)


def _unknown(records: OrderRecords, service: str) -> Iterator[str]:
    if service != "payment":
        claim = _claim(records, service)
        if claim and service not in records.participants:
            yield claim.state
        return
    own = records.payment if "payment" in records.participants else None
    for payment in records.payments:
        # Those that were made later, and took nothing or gave it back, are nobody's.
        concerned = payment.attempt == 0 or payment.state == "HELD" or records.order is None
        if payment is not own and concerned:
            yield payment.state


def _held_as_ordered(records: OrderRecords) -> Iterator[str]:
    if not records.stock and records.item_claim is None:
        return
    taken = summed((one.item_id, -one.delta) for one in records.stock if one.cause == "order")
    back = summed((one.item_id, one.delta) for one in records.stock if one.cause != "order")
    state = records.item_claim.state if records.item_claim else "missing"
    match state:
        case "HELD":
            right = taken == records.asked and not back
        case "RELEASED":
            # One that was refused, or released before it came, has taken nothing.
            right = back == taken and (not taken or taken == records.asked)
        case _:
            right = not taken and not back
    if not right and (records.order is None or records.lines is not None):
        yield (
            f"order {records.id}: its lines ask for {pieces(records.asked)}; its claim is {state}, with"
            f" {pieces(taken)} taken and {pieces(back)} given back"
        )


CLAIM_CHECKS = (
    Check("item holds what the order asks for", _held_as_ordered),
    *(claims_agree(service) for service in ("item", "coupon", "payment")),
    *(claims_have_orders(service) for service in ("item", "coupon", "payment")),
)
