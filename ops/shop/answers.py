"""What the shop answers and is sent, as far as the tools read and say it."""

from datetime import datetime
from typing import Any

from msgspec import Struct


class Item(Struct, frozen=True):
    """One item of the catalogue."""

    id: int
    name: str
    size: str
    price: int
    available_quantity: int
    version: int


class HeldCoupon(Struct, frozen=True):
    """A coupon in somebody's hands; `coupon_id` is its policy."""

    id: int
    coupon_id: int
    name: str
    used: bool


class Participant(Struct, frozen=True):
    """Where one participant of an order stands."""

    name: str
    state: str
    changed_at: datetime | None = None


class Change(Struct, frozen=True):
    """One entry of an order's history."""

    at: datetime
    what: str
    participant: str | None = None
    status: str | None = None
    details: dict[str, Any] | None = None


class OrderedLine(Struct, frozen=True):
    """A line of an order; what the item was called is known once its stock is reserved."""

    item_id: int
    quantity: int
    unit_price: int
    name: str | None = None


class Order(Struct, frozen=True, kw_only=True):
    """An order as the shop shows it."""

    id: str
    buyer_id: int | None = None
    status: str
    reason: str | None = None
    reason_details: dict[str, Any] | None = None
    settled: bool
    paid: bool
    pay_with: str | None = None
    total: int
    participants: list[Participant]
    lines: list[OrderedLine] = []
    history: list[Change] = []
    version: int
    created_at: datetime


class Line(Struct, frozen=True, omit_defaults=True):
    """One line of an order to place."""

    item_id: int
    quantity: int
    unit_price: int
    discounted_price: int | None = None
    user_coupon_ids: list[int] = []


class Quote(Struct, frozen=True):
    """What an order would cost; its lines can be placed as they are."""

    lines: list[Line]
    total: int


class Payment(Struct, frozen=True):
    """A payment as the shop shows it; `refunded` won of it were given back. Without an order: points.

    ASKING, CAPTURED, PARTLY_REFUNDED, DECLINED, REFUNDING, REFUNDED, NEEDS_ATTENTION or KEPT.
    """

    id: str
    order_id: str | None
    status: str
    amount: int
    refunded: int = 0
    reason: str | None = None
    details: dict[str, Any] = {}

    @property
    def rests(self) -> bool:
        """Whether nothing happens to it by itself any more."""
        return self.status not in ("ASKING", "REFUNDING")


class Intent(Struct, frozen=True):
    """The number to open the payment gateway's widget with, for exactly this amount."""

    payment_id: str
    amount: int
    expires_at: datetime


class PointsBought(Struct, frozen=True):
    """Points that were bought; in the balance once the payment is CAPTURED."""

    payment_id: str
    amount: int
    status: str
    balance: int


class TimelineStep(Struct, frozen=True):
    """A step of an order's way: waiting, done, refused or given up."""

    service: str
    name: str
    backwards: bool
    outcome: str


class Timeline(Struct, frozen=True):
    """An order's way through the services, as the shop shows it."""

    status: str
    paid: bool
    steps: list[TimelineStep]
    complete: bool


class Sales(Struct, frozen=True, kw_only=True):
    """What was sold in some time."""

    orders: int
    quantity: int
    revenue: int
    cancelled_orders: int


class Tokens(Struct, frozen=True):
    """What a sign-in gives."""

    access_token: str
    refresh_token: str
    expires_in: float
