"""What the user service hears, in its own words: all that a buyer is to be told of."""

from uuid import UUID

from shared.messages import View
from shared.transaction import Transaction
from user_svc import domain, notifications
from user_svc.domain import News
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
    user_id: int | None
    amount: int


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
        News(user_id=refund.user_id, order_id=refund.order_id, kind="payment_refunded", amount=refund.amount)
        for refund in refunded
        if refund.user_id is not None and refund.amount > 0
    ]
    await notifications.tell(tx, news, settings)
