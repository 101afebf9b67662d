"""What query reads in the events that it keeps; all others are kept, and mean nothing to its views."""

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from shared.messages import View


class Line(Struct, frozen=True, kw_only=True):
    """A line of an order."""

    item_id: int
    quantity: int
    unit_price: int
    discounted_price: int
    user_coupon_ids: list[int] = []


class OrderPlaced(View, of="order.placed"):
    """An order was accepted."""

    order_id: UUID
    buyer_id: int
    lines: list[Line]
    total: int
    pay_with: str | None
    participants: list[str]
    placed_at: datetime


class OrderCompleted(View, of="order.completed"):
    """Every participant said yes."""

    order_id: UUID
    buyer_id: int
    total: int


class OrderConfirmed(View, of="order.confirmed"):
    """The order is completed and paid: its lines are sold."""

    order_id: UUID
    buyer_id: int
    total: int
    payment_id: UUID
    confirmed_at: datetime


class OrderFailed(View, of="order.failed"):
    """The order will not be fulfilled; if it was sold, it is not any more."""

    order_id: UUID
    buyer_id: int
    reason: str
    reason_details: dict[str, Any] | None
    settled: bool


class OrderCancelled(View, of="order.cancelled"):
    """All that was taken for a failed order has been given back."""

    order_id: UUID
    buyer_id: int
    reason: str


class OrderSettled(View, of="order.settled"):
    """A failed order came to rest; events of before that was told bear no `reason_details`."""

    order_id: UUID
    buyer_id: int
    reason: str
    reason_details: dict[str, Any] | None = None


class ItemCreated(View, of="item.created"):
    """An item came into the catalogue."""

    item_id: int
    name: str
    version: int


class ItemChanged(View, of="item.changed"):
    """An item may be called something else now."""

    item_id: int
    name: str
    version: int


class StockReserved(View, of="item.stock_reserved"):
    """An order found its items under these names."""

    order_id: UUID
    names: dict[int, str]


class StockRejected(View, of="item.stock_rejected"):
    """Item says no."""

    order_id: UUID
    reason: str
    details: dict[str, Any]


class CouponsRejected(View, of="coupon.rejected"):
    """Coupon says no."""

    order_id: UUID
    reason: str
    details: dict[str, Any]


class PaymentCaptured(View, of="payment.captured"):
    """The order's amount was taken."""

    order_id: UUID
    payment_id: UUID


class PaymentDeclined(View, of="payment.declined"):
    """Payment says no."""

    order_id: UUID
    payment_id: UUID
    reason: str
    details: dict[str, Any]


class PaymentRefunded(View, of="payment.refunded"):
    """A payment has been given back."""

    order_id: UUID
    payment_id: UUID


class PaymentPartlyRefunded(View, of="payment.partly_refunded"):
    """A part of a payment was given back, and its order stands; `refunded` is the sum of all such parts."""

    order_id: UUID
    payment_id: UUID
    user_id: int
    amount: int
    refunded: int
    refunded_at: datetime


class PaymentKept(View, of="payment.kept"):
    """A payment is not given back, as a person has decided, who said why (`note`)."""

    order_id: UUID
    payment_id: UUID
    amount: int
    note: str


class ConfirmationRejected(View, of="order.confirmation_rejected"):
    """A payment was not wanted, and is to be given back."""

    order_id: UUID
    payment_id: UUID
    reason: str


OrderEvent = (
    OrderPlaced
    | OrderCompleted
    | OrderConfirmed
    | OrderFailed
    | OrderCancelled
    | OrderSettled
    | PaymentPartlyRefunded
)
"""What tells how an order stands, and what is left of its sale."""
ItemEvent = ItemCreated | ItemChanged | StockReserved
"""What tells the name of an item."""

OF_ORDER: tuple[type[View], ...] = (
    OrderPlaced,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    OrderCancelled,
    OrderSettled,
    ConfirmationRejected,
)
OF_ITEM: tuple[type[View], ...] = (*get_args(ItemEvent), StockRejected)
OF_COUPON: tuple[type[View], ...] = (CouponsRejected,)
OF_PAYMENT: tuple[type[View], ...] = (
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentPartlyRefunded,
    PaymentKept,
)

_READERS: dict[str, msgspec.json.Decoder[View]] = {
    kind.wire_name: msgspec.json.Decoder(kind) for kind in (*OF_ORDER, *OF_ITEM, *OF_COUPON, *OF_PAYMENT)
}


def read(event_type: str, data: str) -> View | None:
    """What an event tells, if it is one that is read here. Raises `msgspec.DecodeError`."""
    reader = _READERS.get(event_type)
    return reader.decode(data) if reader else None
