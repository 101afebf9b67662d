"""What the order service hears: the answers of its participants."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from order_svc import saga, store
from order_svc.saga import Signal
from order_svc.settings import OrderSettings
from order_svc.store import StoredOrder
from shared.database import Transaction
from shared.logs import log
from shared.messages import View


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


Tell = Callable[[StoredOrder, Any], object]


async def hear_yes(answers: list[Yes], tx: Transaction, settings: OrderSettings) -> None:
    """Participants have taken what these orders need: complete each that waits for no one else."""
    await _hear(
        answers,
        tx,
        settings,
        _say_yes,
    )


async def hear_no(answers: list[No], tx: Transaction, settings: OrderSettings) -> None:
    """Participants refuse these orders: fail each, and ask back what the others have taken."""
    await _hear(
        answers,
        tx,
        settings,
        lambda order, answer: saga.hear(
            order.saga,
            participant_of(answer),
            Signal.NO,
            reason=answer.reason,
            details=answer.details,
            payment_id=_payment_id(answer),
        ),
    )


async def hear_released(answers: list[Released], tx: Transaction, settings: OrderSettings) -> None:
    """Participants have given back: cancel each order that has everything back."""
    await _hear(
        answers,
        tx,
        settings,
        lambda order, answer: saga.hear(
            order.saga, participant_of(answer), Signal.RELEASED, payment_id=_payment_id(answer)
        ),
    )


def _say_yes(order: StoredOrder, answer: Yes) -> None:
    saga.hear(order.saga, participant_of(answer), Signal.YES, payment_id=_payment_id(answer))
    if isinstance(answer, StockReserved) and order.saga.changes:
        order.item_names = answer.names


async def _hear(answers: Sequence[Any], tx: Transaction, settings: OrderSettings, tell: Tell) -> None:
    orders = await store.lock_orders(tx, [answer.order_id for answer in answers])
    for answer in answers:
        order = orders.get(answer.order_id)
        if order is None:
            log.warning("order.unknown", order_id=str(answer.order_id), heard=type(answer).wire_name)
        else:
            tell(order, answer)
    await store.save_orders(tx, orders.values(), settings)


def participant_of(answer: View) -> str:
    """Who is speaking: the service that publishes the event."""
    return type(answer).wire_name.partition(".")[0]


def _payment_id(answer: View) -> UUID | None:
    return getattr(answer, "payment_id", None)
