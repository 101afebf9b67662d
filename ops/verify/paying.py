"""What must hold between orders and their payments."""

from collections.abc import Iterator

from ops.verify.check import Check
from ops.verify.order_records import OrderRecords

_PAID = ("HELD", "NEEDS_ATTENTION")


def _paid_in_full(records: OrderRecords) -> Iterator[str]:
    order = records.order
    if order is None:
        return
    payment, participant = records.payment, records.participants.get("payment")
    wrong = False
    if order.status == "COMPLETED":
        if order.paid:
            wrong = payment is None or payment.state not in _PAID or payment.amount != order.total
        else:
            wrong = order.pay_with is not None
    if order.paid and (participant is None or participant.state not in ("YES", "RELEASING", "KEPT")):
        wrong = True
    if wrong:
        claim, amount = (payment.state, payment.amount or 0) if payment else ("missing", 0)
        yield (
            f"order {records.id} ({order.status}): total {order.total}, paid {'yes' if order.paid else 'no'},"
            f" but the payment is {claim} with {amount}"
        )


def _buyers_own(records: OrderRecords) -> Iterator[str]:
    """Every payment is of its order's buyer, of its total, and by the way that was asked for."""
    order = records.order
    if order is None:
        return
    for payment in records.payments:
        what = f"payment {payment.payment_id} of order {records.id}"
        took_nothing = payment.state == "REJECTED" or (payment.state == "RELEASED" and not payment.refunded)
        if payment.user_id is None and payment.method is None and took_nothing:
            continue  # the order was released before payment had heard of it
        if payment.user_id != order.buyer_id:
            yield f"{what}: is of user {payment.user_id}, but the buyer is user {order.buyer_id}"
        if payment.amount != order.total and not (payment.amount is None and took_nothing):
            yield f"{what}: is {payment.state} with {payment.amount}, but the total is {order.total}"
        if payment.attempt == 0 and payment.method != order.pay_with:
            yield f"{what}: pays with {payment.method}, but {order.pay_with} was asked for"


PAYING_CHECKS = (
    Check("paid orders were paid in full", _paid_in_full),
    Check("payments are of their order's buyer and total", _buyers_own),
)
