"""What must hold of coupons: they are the buyer's, one order uses one, and prices follow from them."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from coupon_svc.domain import Rejection, judge
from ops.verify.check import Book, Check, Facts
from ops.verify.order_records import OrderRecords
from ops.verify.source import Source, merged
from ops.verify.tables import COUPON_USES, HELD_COUPONS, CouponUse, HeldCoupon
from shared.clock import aware

# By order ------------------------------------------------------------------------------------------------


def _uses(records: OrderRecords) -> Iterator[str]:
    """An order that stands uses its lines' coupons; one that came to nothing used none or all of them."""
    state = records.coupon_claim.state if records.coupon_claim else "missing"
    if records.order is None or records.lines is None:
        return
    used = Counter(use.user_coupon_id for use in records.uses)
    named = Counter(records.line_coupons)
    if used != named and (state == "HELD" or used):
        for coupon in sorted((named - used) + (used - named)):
            what = "name" if coupon in named else "do not name"
            times = f"used {used[coupon]} times by it" if coupon in used else "used by nobody"
            yield f"order {records.id}: its lines {what} coupon {coupon}, which is {times}"


def _used_by_standing(records: OrderRecords) -> Iterator[str]:
    participant = records.participants.get("coupon")
    state = participant.state if participant else "no participant"
    claim = records.coupon_claim.state if records.coupon_claim else "missing"
    stands = records.order is not None and state in ("AWAITING", "YES", "RELEASING") and claim == "HELD"
    for use in records.uses:
        if use.released_at is None and not stands:
            yield (
                f"coupon {use.user_coupon_id}: used by order {records.id}, which is {records.status}"
                f" (coupon {state}, claim {claim})"
            )
        elif use.released_at is not None and stands:
            yield f"coupon {use.user_coupon_id}: given back by order {records.id}, which is {records.status}"


def _discounts(records: OrderRecords) -> Iterator[str]:
    """Every price follows from the unit price by coupons that this buyer could use then."""
    if records.order is None or records.lines is None:
        return
    at = aware(records.order.created_at)
    held = records.coupon_claim is not None and records.coupon_claim.state == "HELD"
    # What coupon has not agreed to yet, or has refused, may well be wrong; without coupons nothing may be.
    lines = [line for line in records.lines if held or records.uses or not line.user_coupon_ids]
    outcome = judge(lines, records.order.buyer_id, at, records.coupons)
    if isinstance(outcome, Rejection):
        facts = ", ".join(f"{name} {fact}" for name, fact in outcome.details.items())
        yield f"order {records.id}: {outcome.reason} ({facts}), but it has such a line"


ORDER_COUPON_CHECKS = (
    Check("an order that stands uses the coupons of its lines", _uses),
    Check("a coupon is used only by an order that stands", _used_by_standing),
    Check("discounts follow from the buyer's coupons", _discounts),
)

# By coupon -----------------------------------------------------------------------------------------------


class CouponRecords(NamedTuple):
    """A coupon and its uses."""

    id: int
    coupon: HeldCoupon | None
    uses: list[CouponUse]


READINGS = (HELD_COUPONS.by("id"), COUPON_USES.by("user_coupon_id", "id"))


async def _pages(
    source: Source, _facts: Facts, keys: Collection[Any] | None
) -> AsyncIterator[Sequence[tuple[int, CouponRecords]]]:
    async with source.streams(READINGS, keys) as streams:
        async for batch in merged(streams, [reading.key for reading in READINGS]):
            yield [
                (key, CouponRecords(key, held[0] if held else None, uses))
                for key, (held, uses) in batch.items()
            ]


def _used_once(records: CouponRecords) -> Iterator[str]:
    orders = sorted(use.order_id for use in records.uses if use.released_at is None)
    if len(orders) > 1:
        yield f"coupon {records.id}: used by {len(orders)} orders at once: {', '.join(orders)}"


def _marked(records: CouponRecords) -> Iterator[str]:
    used_by = records.coupon.used_by if records.coupon else None
    orders = [use.order_id for use in records.uses if use.released_at is None]
    if records.coupon is None:
        yield f"coupon {records.id}: is unknown, but has {len(records.uses)} uses"
    for order_id in orders:
        if used_by != order_id:
            yield (
                f"coupon {records.id}: in use by order {order_id}, but marked as used by"
                f" {used_by or 'nobody'}"
            )
    if used_by and not orders:
        yield f"coupon {records.id}: marked as used by order {used_by}, but in use by nobody"


COUPON_BOOK = Book(
    "coupons",
    (
        Check("a coupon is used at most once", _used_once),
        Check("the use of a coupon is marked on it", _marked),
    ),
    _pages,
)
