"""What the order service publishes and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Audited, Call, Event, KeptOf

ItemNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
Price = Annotated[int, Meta(ge=0, le=10**12)]
PayWith = Literal["points", "card"]
OrderStatus = Literal["PENDING", "COMPLETED", "FAIL", "CANCEL"]


class Line(Struct, frozen=True, kw_only=True):
    """One line of an order; `discounted_price` is the price of one piece after its coupons."""

    item_id: int
    quantity: int
    unit_price: int
    discounted_price: int
    user_coupon_ids: list[int] = []


class LineView(Line, frozen=True, kw_only=True):
    """A line as its buyer sees it; `name` is what the item was called when it was taken."""

    name: str | None = None


class LineRequest(Struct, frozen=True, kw_only=True):
    """A line as a buyer asks for it."""

    item_id: ItemNumber
    quantity: Quantity
    unit_price: Price
    discounted_price: Price | None = None
    user_coupon_ids: list[ItemNumber] = []


class ParticipantView(Struct, frozen=True, kw_only=True):
    """Where one participant of an order stands: AWAITING, YES, NO, RELEASING, RELEASED or KEPT.

    KEPT is a payment of a failed order that a person decided not to give back.
    """

    name: str
    state: str
    changed_at: datetime


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One change in an order's life."""

    at: datetime
    what: str
    participant: str | None
    status: str
    details: dict[str, Any] | None


class OrderAudited(Audited, name="order.audited", subject="target"):
    """Somebody of the shop did something to an order."""


class OrderPlaced(Event, name="order.placed", subject="order_id"):
    """An order was accepted; its participants are asked to check and reserve.

    `payment_id` is the number of the payment that its buyer has brought a key for, where there is one.
    """

    order_id: UUID
    buyer_id: int
    lines: list[Line]
    total: int
    pay_with: PayWith | None
    payment_id: UUID | None
    participants: list[str]
    placed_at: datetime


class ReleaseItem(Event, name="order.release.item", subject="order_id"):
    """The order will not be fulfilled: item gives back what it holds for it."""

    order_id: UUID


class ReleaseCoupon(Event, name="order.release.coupon", subject="order_id"):
    """The order will not be fulfilled: coupon gives back what it holds for it."""

    order_id: UUID


class ReleasePayment(Event, name="order.release.payment", subject="order_id"):
    """The order will not be fulfilled: payment gives back what it took for it."""

    order_id: UUID


class OrderCompleted(Event, name="order.completed", subject="order_id"):
    """Every participant said yes.

    It tells all that has changed since the order was placed, so that whoever saw that need not ask again.
    `item_names` are what its items were called when they were taken.
    """

    order_id: UUID
    buyer_id: int
    total: int
    paid: bool
    version: int
    participants: list[ParticipantView]
    history: list[HistoryEntry]
    item_names: dict[int, str]


class OrderConfirmed(Event, name="order.confirmed", subject="order_id"):
    """The order is completed and paid."""

    order_id: UUID
    buyer_id: int
    total: int
    payment_id: UUID
    confirmed_at: datetime


class ConfirmationRejected(Event, name="order.confirmation_rejected", subject="order_id"):
    """A payment was made for an order that is not, or no longer, to be paid: it has to be given back."""

    order_id: UUID
    payment_id: UUID
    reason: str


class OrderFailed(Event, name="order.failed", subject="order_id"):
    """The order will not be fulfilled; what was taken is being given back.

    `was_completed` tells a completed order that was called off from one that never came so far.
    """

    order_id: UUID
    buyer_id: int
    reason: str
    reason_details: dict[str, Any] | None
    settled: bool
    was_completed: bool


class OrderCancelled(Event, name="order.cancelled", subject="order_id"):
    """All that was taken for a failed order has been given back."""

    order_id: UUID
    buyer_id: int
    reason: str


class OrderSettled(Event, name="order.settled", subject="order_id"):
    """A failed order came to rest after its failure was told, with nothing to give back.

    So does one whose payment the shop keeps: its `reason` is `payment_kept` from then on, and the details
    say what it was before.
    """

    order_id: UUID
    buyer_id: int
    reason: str
    reason_details: dict[str, Any] | None


class OrderView(Struct, frozen=True, kw_only=True):
    """An order as its buyer sees it.

    `paid` means that the shop has the money. It is false again once that was given back, which its history
    tells as PAYMENT_REFUNDED; a part of it that was given back, as PAYMENT_PARTLY_REFUNDED, changes nothing.
    """

    id: UUID
    buyer_id: int
    status: str
    reason: str | None
    reason_details: dict[str, Any] | None
    settled: bool
    paid: bool
    pay_with: PayWith | None
    total: int
    lines: list[LineView]
    participants: list[ParticipantView]
    history: list[HistoryEntry]
    version: int
    created_at: datetime


class OrderSummary(Struct, frozen=True, kw_only=True):
    """An order in a list."""

    id: UUID
    buyer_id: int
    status: str
    reason: str | None
    settled: bool
    paid: bool
    total: int
    version: int
    created_at: datetime


class OrderPage(Struct, frozen=True, kw_only=True):
    """A page of orders, newest first; `next` continues after its last one."""

    items: list[OrderSummary]
    next: UUID | None


class PlaceOrder(Call[OrderView], name="order.place", idempotent=True):
    """Accept an order as PENDING. Idempotent by `order_id`.

    Under an idempotency key that was used before, the answer is the first order as it is now.
    """

    order_id: UUID
    buyer_id: int
    lines: Annotated[list[LineRequest], Meta(min_length=1, max_length=2000)]
    pay_with: PayWith | None = None
    payment_id: UUID | None = None


class GetOrder(Call[OrderView], name="order.get", idempotent=True):
    """One order; with `buyer_id` only if it is that buyer's."""

    order_id: UUID
    buyer_id: int | None = None


class ListOrders(Call[OrderPage], name="order.list", idempotent=True):
    """Orders, newest first, of one buyer or (without `buyer_id`) of all.

    Those of one `status`, and those placed at `since` or later and before `until`, where these are given.
    """

    buyer_id: int | None = None
    status: OrderStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: UUID | None = None


class CancelOrder(Call[OrderView], name="order.cancel", idempotent=True):
    """Cancel an order: `by` says as what, `actor` which user; with `buyer_id` only if it is that buyer's.

    Cancelling what was cancelled already changes nothing; an order that failed otherwise is a `Conflict`.
    """

    order_id: UUID
    by: Literal["buyer", "admin"]
    buyer_id: int | None = None
    actor: int = 0


class PaymentDue(Struct, frozen=True, kw_only=True):
    """What is to be paid for an order."""

    amount: int


class GetPaymentDue(Call[PaymentDue], name="order.payment_due", idempotent=True):
    """What a buyer's order costs, while it is to be paid. Raises `NotFound` unless it is that buyer's.

    Raises `Conflict` unless the order is completed and unpaid.
    """

    order_id: UUID
    buyer_id: int


class Missing(Struct, frozen=True, kw_only=True):
    """What an overdue order waits for: a participant's answer, its giving back, or the buyer's payment."""

    waits_for: Literal["answer", "release", "payment"]
    of: str
    since: datetime


class OverdueOrder(Struct, frozen=True, kw_only=True):
    """An order that should have moved on by now, and what is missing."""

    id: UUID
    buyer_id: int
    status: str
    reason: str | None
    created_at: datetime
    due_at: datetime
    overdue_seconds: float
    missing: list[Missing]


class OverduePage(Struct, frozen=True, kw_only=True):
    """A page of overdue orders, oldest first; `next` continues after its last one."""

    items: list[OverdueOrder]
    next: UUID | None


class ListOverdue(Call[OverduePage], name="order.overdue", idempotent=True):
    """Orders past their deadline, and those whose releases nobody acknowledged in time; oldest first."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: UUID | None = None


class ExportUser(Call[KeptOf], name="order.export_user", idempotent=True):
    """What this service keeps of a user, for the user."""

    user_id: int


class Unsettled(Struct, frozen=True, kw_only=True):
    """How many orders are under way."""

    count: int


class CountUnsettled(Call[Unsettled], name="order.count_unsettled", idempotent=True):
    """How many of a buyer's orders are still under way, or are being given back."""

    buyer_id: int
