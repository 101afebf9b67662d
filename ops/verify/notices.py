"""What must hold of notifications: buyers are told of all that came to nothing, and of nothing else."""

from collections.abc import Iterator
from uuid import UUID

from ops.verify.check import Check
from ops.verify.order_records import OrderRecords
from ops.verify.tables import Notification
from user_svc.domain import failure

_NEWS_OF_PAYMENTS = ("payment_refunded", "payment_partly_refunded")


def _kind(reason: str | None) -> str:
    """The kind of news that a failure of this reason is."""
    return failure(0, UUID(int=0), reason or "").kind


def _buyers_told(records: OrderRecords) -> Iterator[str]:
    order = records.order
    if order is None or order.status not in ("FAIL", "CANCEL") or not records.buyer_known:
        return
    kind = _kind(records.reason_told)
    if not any(one.kind == kind and one.user_id == order.buyer_id for one in records.notifications):
        yield (
            f"order {records.id}: is {order.status} ({records.reason_told}), but user {order.buyer_id} has no"
            f" notification {kind} about it"
        )


def _payers_told(records: OrderRecords) -> Iterator[str]:
    """Of each payment that came back, and each part of one; there used to be one piece of news an order."""
    if records.order is None or not records.buyer_known:
        return
    for payment in records.payments:
        what = f"payment {payment.payment_id} of order {records.id}"
        told = [
            one for one in records.notifications if one.part.partition("/")[0] in ("", payment.payment_id)
        ]
        back = [one.amount for one in told if one.kind == "payment_refunded"]
        if payment.released and payment.released not in back:
            yield f"{what}: {payment.released} were given back, but user {payment.user_id} was not told"
        parts = sum(one.amount or 0 for one in told if one.kind == "payment_partly_refunded")
        had = payment.refunded - payment.released
        # What the payment gateway gave back of a charge that nobody knew of is told by nothing.
        simple = payment.state in ("HELD", "RELEASED") and not payment.reason and not payment.resolved
        if simple and parts != had:
            yield f"{what}: {had} were given back in part, but user {payment.user_id} was told of {parts}"


def _true(records: OrderRecords) -> Iterator[str]:
    for told in records.notifications:
        if not _is_true(records, told):
            theirs = records.order is not None and records.order.buyer_id == told.user_id
            status = records.status if theirs else "not theirs"
            reason = (records.reason_told if theirs else None) or "no reason"
            yield (
                f"notification {told.id}: tells user {told.user_id} of {told.kind}"
                f" ({told.reason or told.amount}), but order {records.id} is {status} ({reason})"
            )


def _is_true(records: OrderRecords, told: Notification) -> bool:
    order = records.order
    if order is None or order.buyer_id != told.user_id:
        return False
    if told.kind not in _NEWS_OF_PAYMENTS:
        failed, why = order.status in ("FAIL", "CANCEL"), records.reason_told
        right = failed and told.kind == _kind(why) and told.reason == why
        return right and told.amount is None and told.part == ""
    payment_id, _, refunded = told.part.partition("/")
    for payment in records.payments:
        if payment_id not in ("", payment.payment_id) or payment.user_id != told.user_id or told.reason:
            continue
        if told.kind == "payment_refunded":
            right = payment.state == "RELEASED" and payment.released == told.amount and not refunded
        else:
            right = 0 < (told.amount or 0) <= _sum(refunded) <= payment.refunded
        if right:
            return True
    return False


def _sum(text: str) -> int:
    return int(text) if text.isdecimal() else 0


NOTICE_CHECKS = (
    Check("buyers are told of orders that came to nothing", _buyers_told, follows=True),
    Check("payers are told of what they got back", _payers_told, follows=True),
    Check("notifications are true", _true),
)
