"""What is told of an order's changes: what is to be given back, and what became of the order. Pure."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from order_svc.contracts import (
    ConfirmationRejected,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    OrderSettled,
    ParticipantView,
    ReleaseCoupon,
    ReleaseItem,
    ReleasePayment,
)
from order_svc.saga import Milestone
from order_svc.stored import StoredOrder
from shared.messages import Event

_RELEASES = {"item": ReleaseItem, "coupon": ReleaseCoupon, "payment": ReleasePayment}


def announcements(order: StoredOrder, now: datetime) -> Iterator[Event]:
    """The events that follow from an order's unsaved changes, in the order in which they are told.

    The order bears its new version, history and times of its participants already.
    """
    for name in order.saga.releases:
        yield release(name, order.id)
    for milestone in order.saga.milestones:
        yield _milestone(order, milestone, now)
    for payment_id in order.saga.rejected:
        yield _rejected(order, payment_id)


def release(participant: str, order_id: UUID) -> Event:
    """Asks a participant to give back what it took for an order."""
    return _RELEASES[participant](order_id=order_id)


def _milestone(order: StoredOrder, milestone: Milestone, now: datetime) -> Event:
    reason = order.saga.reason or ""
    match milestone:
        case Milestone.COMPLETED:
            return OrderCompleted(
                order_id=order.id,
                buyer_id=order.buyer_id,
                total=order.total,
                paid=order.saga.paid,
                version=order.version,
                participants=[
                    ParticipantView(name=name, state=one.state.value, changed_at=order.rows[name].moved_at)
                    for name, one in order.saga.participants.items()
                ],
                history=order.history,
                item_names=order.item_names,
            )
        case Milestone.CONFIRMED:
            payment_id = order.saga.participants["payment"].payment_id
            assert payment_id is not None  # noqa: S101  payment said yes, and every yes of it bears its id
            return OrderConfirmed(
                order_id=order.id,
                buyer_id=order.buyer_id,
                total=order.total,
                payment_id=payment_id,
                confirmed_at=now,
            )
        case Milestone.FAILED:
            return OrderFailed(
                order_id=order.id,
                buyer_id=order.buyer_id,
                reason=reason,
                reason_details=order.saga.reason_details,
                settled=order.saga.settled,
                was_completed=order.saga.was_completed,
            )
        case Milestone.CANCELLED:
            return OrderCancelled(order_id=order.id, buyer_id=order.buyer_id, reason=reason)
        case Milestone.SETTLED:
            return OrderSettled(
                order_id=order.id,
                buyer_id=order.buyer_id,
                reason=reason,
                reason_details=order.saga.reason_details,
            )


def _rejected(order: StoredOrder, payment_id: UUID) -> Event:
    reason = order.saga.reason or ("paid" if order.saga.paid else "not_completed")
    return ConfirmationRejected(order_id=order.id, payment_id=payment_id, reason=reason)
