"""What the order service hears: the answers of its participants, and what becomes of its payments."""

from typing import Any
from uuid import UUID

from order_svc import saga, store
from order_svc.saga import Signal
from order_svc.settings import OrderSettings
from order_svc.stored import StoredOrder
from shared.database import Rows, Transaction
from shared.errors import NotFound
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


class PaymentKept(View, of="payment.kept"):
    """A person decided that what was paid stays with the shop: payment will give nothing back."""

    order_id: UUID
    payment_id: UUID
    amount: int
    note: str


class PaymentPartlyRefunded(View, of="payment.partly_refunded"):
    """A part of a payment was given back; `refunded` is the sum of all such parts by then."""

    order_id: UUID
    payment_id: UUID
    amount: int
    refunded: int


Yes = StockReserved | CouponApplied | PaymentCaptured
No = StockRejected | CouponRejected | PaymentDeclined
Released = StockReleased | CouponReleased | PaymentRefunded
Answer = Yes | No | Released | PaymentKept | PaymentPartlyRefunded


def rows_of_answer(answer: Answer) -> list[Rows]:
    """What hearing an answer locks: its order."""
    return [Rows("orders", "id", [answer.order_id])]


async def hear_answers(answers: list[Answer], tx: Transaction, settings: OrderSettings) -> None:
    """Participants answer: let each order go where that takes it, and tell what follows from it.

    Raises `NotFound` for an order that is not known, which it may only not be yet: where several servers
    write, an answer can be here before the order. So it is retried, and in the end a dead letter.
    """
    orders = await store.lock_orders(tx, [answer.order_id for answer in answers])
    for answer in answers:
        if answer.order_id not in orders:
            raise NotFound(f"There is no order {answer.order_id} for {type(answer).wire_name} (yet).")
        _tell(orders[answer.order_id], answer)
    await store.save_orders(tx, orders.values(), settings)


def _tell(order: StoredOrder, answer: Answer) -> None:
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
        case PaymentKept():
            details = {"amount": answer.amount, "note": answer.note}
            saga.hear(order.saga, who, Signal.KEPT, details=details, payment_id=payment_id)
        case PaymentPartlyRefunded():
            _note_refund_in_part(order, answer)
        case StockReserved() | CouponApplied() | PaymentCaptured():
            is_news = saga.hear(order.saga, who, Signal.YES, payment_id=payment_id)
            if is_news and isinstance(answer, StockReserved):
                order.item_names = answer.names


def _note_refund_in_part(order: StoredOrder, answer: PaymentPartlyRefunded) -> None:
    """Once for each part, however often it is told: a payment's parts differ in the sum refunded by then."""
    details: dict[str, Any] = {
        "payment_id": str(answer.payment_id),
        "amount": answer.amount,
        "refunded": answer.refunded,
    }
    noted = [one.details for one in (*order.history, *order.saga.changes) if one.what == saga.PARTLY_REFUNDED]
    if details not in noted:
        saga.note_refund_in_part(order.saga, details)


def participant_of(answer: View) -> str:
    """Who is speaking: the service that publishes the event."""
    return type(answer).wire_name.partition(".")[0]


def _payment_id(answer: View) -> UUID | None:
    return getattr(answer, "payment_id", None)
