"""What the user service hears, in its own words: all that a buyer is to be told of."""

from uuid import UUID

from shared.database import Transaction
from shared.messages import View
from user_svc import domain, notifications
from user_svc.settings import UserSettings


class OrderFailed(View, of="order.failed"):
    """An order that had been accepted will not be fulfilled."""

    order_id: UUID
    buyer_id: int
    reason: str


class OrderCancelled(View, of="order.cancelled"):
    """All that was taken for a failed order has been given back."""

    order_id: UUID
    buyer_id: int
    reason: str


class PaymentRefunded(View, of="payment.refunded"):
    """What was paid has been given back, if there was anything."""

    order_id: UUID
    payment_id: UUID
    user_id: int | None
    amount: int


class PaymentPartlyRefunded(View, of="payment.partly_refunded"):
    """A part of what was paid has been given back; `refunded` is the sum of all such parts."""

    order_id: UUID
    payment_id: UUID
    user_id: int
    amount: int
    refunded: int


async def tell_of_failures(failed: list[OrderFailed], tx: Transaction, settings: UserSettings) -> None:
    """Tell buyers of orders that come to nothing."""
    await notifications.tell(
        tx, [domain.failure(order.buyer_id, order.order_id, order.reason) for order in failed], settings
    )


async def tell_of_cancellations(
    cancelled: list[OrderCancelled], tx: Transaction, settings: UserSettings
) -> None:
    """Tell buyers of orders that came to nothing, where their failure has not been heard of yet."""
    await notifications.tell(
        tx, [domain.failure(order.buyer_id, order.order_id, order.reason) for order in cancelled], settings
    )


async def tell_of_refunds(refunded: list[PaymentRefunded], tx: Transaction, settings: UserSettings) -> None:
    """Tell buyers of what they got back."""
    news = [
        domain.refund(one.user_id, one.order_id, one.payment_id, one.amount)
        for one in refunded
        if one.user_id is not None and one.amount > 0
    ]
    await notifications.tell(tx, news, settings)


async def tell_of_refunds_in_part(
    refunded: list[PaymentPartlyRefunded], tx: Transaction, settings: UserSettings
) -> None:
    """Tell buyers of each part of a payment that they got back."""
    news = [
        domain.refund_in_part(one.user_id, one.order_id, one.payment_id, one.amount, one.refunded)
        for one in refunded
    ]
    await notifications.tell(tx, news, settings)
