"""What must hold of notifications: buyers are told of all that came to nothing, and of nothing else."""

from collections.abc import Iterator
from uuid import UUID

from ops.verify.check import Check
from ops.verify.order_records import OrderRecords
from user_svc.domain import failure

_NEWS_OF_PAYMENTS = ("payment_refunded", "payment_partly_refunded", "payment_kept")


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
    """One piece of news an order: of several payments that came back the first is told."""
    back = {one.released for one in records.payments if one.released}
    if records.order is None or not back or not records.buyer_known:
        return
    if not any(one.kind == "payment_refunded" and one.amount in back for one in records.notifications):
        for payment in records.payments:
            if payment.released:
                yield (
                    f"payment {payment.payment_id} of order {records.id}: {payment.released} were given back,"
                    f" but user {payment.user_id} was not told"
                )


def _true(records: OrderRecords) -> Iterator[str]:
    for told in records.notifications:
        if not _is_true(records, told.kind, told.user_id, told.reason, told.amount):
            theirs = records.order is not None and records.order.buyer_id == told.user_id
            status = records.status if theirs else "not theirs"
            reason = (records.reason_told if theirs else None) or "no reason"
            yield (
                f"notification {told.id}: tells user {told.user_id} of {told.kind}"
                f" ({told.reason or told.amount}), but order {records.id} is {status} ({reason})"
            )


def _is_true(records: OrderRecords, kind: str, user_id: int, reason: str | None, amount: int | None) -> bool:
    order = records.order
    if order is None or order.buyer_id != user_id:
        return False
    if kind not in _NEWS_OF_PAYMENTS:
        failed, why = order.status in ("FAIL", "CANCEL"), records.reason_told
        return failed and kind == _kind(why) and reason == why and amount is None
    for payment in records.payments:
        match kind:
            case "payment_refunded":
                right = payment.state == "RELEASED" and payment.released == amount
            case "payment_partly_refunded":
                right = 0 < (amount or 0) <= payment.refunded - payment.released
            case _:
                right = payment.state == "KEPT"
        if right and payment.user_id == user_id and reason is None:
            return True
    return False


NOTICE_CHECKS = (
    Check("buyers are told of orders that came to nothing", _buyers_told, follows=True),
    Check("payers are told of what they got back", _payers_told, follows=True),
    Check("notifications are true", _true),
)
