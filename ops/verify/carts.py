"""What must hold of carts: they lose what is ordered, and get it back where the order came to nothing."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from ops.verify.check import Check
from ops.verify.order_records import OrderRecords

# What was put there in a unit of work that began before, but ended after the stock was taken, was not seen.
_UNIT = timedelta(seconds=5)
_read_pieces = msgspec.json.Decoder(dict[int, int]).decode


def _follow_orders(records: OrderRecords) -> Iterator[str]:
    if records.taking is None:
        return
    completed = bool(records.happened("ORDER_COMPLETED"))
    stands = records.status in ("PENDING", "COMPLETED") or completed
    if records.order is None or records.taking.state != ("TAKEN" if stands else "RETURNED"):
        yield (
            f"order {records.id}: is {records.status} (completed before: {'yes' if completed else 'no'}),"
            f" but what it took from a cart is {records.taking.state}"
        )


def _took_what_was_ordered(records: OrderRecords) -> Iterator[str]:
    taking = records.taking
    if taking is None or records.order is None or records.lines is None:
        return
    if taking.user_id is None and taking.pieces is None and taking.state == "RETURNED":
        return  # it failed before it was seen there, and took nothing
    if taking.user_id != records.order.buyer_id:
        yield (
            f"order {records.id}: is of user {records.order.buyer_id}, but took from the cart of user"
            f" {taking.user_id}"
        )
    try:
        taken = _read_pieces(taking.pieces or "")
    except msgspec.DecodeError:
        yield f"order {records.id}: what it took from a cart cannot be read"
        return
    for item_id in sorted(taken.keys() - records.asked.keys()):
        yield f"order {records.id}: took item {item_id} from a cart, which it does not ask for"


def _without_ordered(records: OrderRecords) -> Iterator[str]:
    order = records.order
    if order is None or order.status not in ("PENDING", "COMPLETED"):
        return
    if records.item_claim is None or records.item_claim.state != "HELD":
        return
    taken_at = {entry.item_id: entry.at for entry in records.stock if entry.cause == "order"}
    for line in records.cart:
        # What was put there since is wanted once more; of both moments the item service noted the time.
        if line.item_id in taken_at and taken_at[line.item_id] - _UNIT > line.changed_at:
            yield (
                f"cart of user {line.user_id}: still has item {line.item_id}, put there at {line.changed_at}"
                f", which order {records.id} has got"
            )


CART_CHECKS = (
    Check("carts lost and got back what their orders took", _follow_orders),
    Check("what orders took from carts was ordered", _took_what_was_ordered),
    Check("what was ordered is not in the cart as well", _without_ordered),
)
