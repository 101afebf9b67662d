"""What the order service hears: the answers of its participants."""

from typing import Any
from uuid import UUID

from order_svc import saga, store
from order_svc.saga import Signal
from order_svc.settings import OrderSettings
from order_svc.store import StoredOrder
from shared.logs import log
from shared.messages import View
from shared.transaction import Transaction


class StockReserved(View, of="item.stock_reserved"):
    """Item has taken the stock; `names` are what the items are called."""

    order_id: UUID
    names: dict[int, str]


class StockRejected(View, of="item.stock_rejected"):
    """Item says no."""

    order_id: UUID
    reason: str
    details: dict[str, Any] | None


class StockReleased(View, of="item.stock_released"):
    """Item has given back."""

    order_id: UUID


class CouponApplied(View, of="coupon.applied"):
    """Coupon has marked the coupons used."""

    order_id: UUID


class CouponRejected(View, of="coupon.rejected"):
    """Coupon says no."""

    order_id: UUID
    reason: str
    details: dict[str, Any] | None


class CouponReleased(View, of="coupon.released"):
    """Coupon has given back."""

    order_id: UUID


class PaymentCaptured(View, of="payment.captured"):
    """Payment has taken the money."""

    order_id: UUID
    payment_id: UUID


class PaymentDeclined(View, of="payment.declined"):
    """Payment says no."""

    order_id: UUID
    payment_id: UUID
    reason: str
    details: dict[str, Any] | None


class PaymentRefunded(View, of="payment.refunded"):
    """Payment has given back."""

    order_id: UUID
    payment_id: UUID


Yes = StockReserved | CouponApplied | PaymentCaptured
No = StockRejected | CouponRejected | PaymentDeclined
Released = StockReleased | CouponReleased | PaymentRefunded


async def hear_answers(answers: list[Yes | No | Released], tx: Transaction, settings: OrderSettings) -> None:
    """Participants answer: let each order go where that takes it, and tell what follows from it."""
    orders = await store.lock_orders(tx, [answer.order_id for answer in answers])
    for answer in answers:
        order = orders.get(answer.order_id)
        if order is None:
            log.warning("order.unknown", order_id=str(answer.order_id), heard=type(answer).wire_name)
        else:
            _tell(order, answer)
    await store.save_orders(tx, orders.values(), settings)


def _tell(order: StoredOrder, answer: Yes | No | Released) -> None:
    who, payment_id = participant_of(answer), _payment_id(answer)
    match answer:
        case StockRejected() | CouponRejected() | PaymentDeclined():
            saga.hear(
                order.saga,
                who,
                Signal.NO,
                reason=answer.reason,
                details=answer.details,
                payment_id=payment_id,
            )
        case StockReleased() | CouponReleased() | PaymentRefunded():
            saga.hear(order.saga, who, Signal.RELEASED, payment_id=payment_id)
        case StockReserved() | CouponApplied() | PaymentCaptured():
            is_news = saga.hear(order.saga, who, Signal.YES, payment_id=payment_id)
            if is_news and isinstance(answer, StockReserved):
                order.item_names = answer.names


def participant_of(answer: View) -> str:
    """Who is speaking: the service that publishes the event."""
    return type(answer).wire_name.partition(".")[0]


def _payment_id(answer: View) -> UUID | None:
    return getattr(answer, "payment_id", None)
