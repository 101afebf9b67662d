"""What the query service answers. It publishes nothing: it only listens."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Call, KeptOf

Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]
UserNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
SearchText = Annotated[str, Meta(min_length=1, max_length=255)]
PageSize = Annotated[int, Meta(ge=1, le=100)]
OrderStatus = Literal["PENDING", "COMPLETED", "FAIL", "CANCEL"]
EventStatus = Literal["PENDING", "COMPLETED", "FAILED", "COMPENSATED"]
Period = Literal["day", "week", "month", "all"]
Measure = Literal["quantity", "revenue"]
Bucket = Literal["hour", "day"]
Outcome = Literal["waiting", "done", "refused", "given_up"]


# Orders --------------------------------------------------------------------------------------------------


class OrderRow(Struct, frozen=True, kw_only=True):
    """An order as its events tell of it; null is what they have not told yet.

    `last_event_at` is the time of the latest event about how it stands, or about a refund in part.
    """

    order_id: UUID
    buyer_id: int | None
    status: OrderStatus
    reason: str | None
    settled: bool
    paid: bool
    pay_with: str | None
    total: int | None
    line_count: int | None
    placed_at: datetime | None
    last_event_at: datetime


class OrderRows(Struct, frozen=True, kw_only=True):
    """A page of orders, newest first; `next` is the `after` of the page that follows, or null."""

    items: list[OrderRow]
    next: UUID | None


class OrderLine(Struct, frozen=True, kw_only=True):
    """A line of an order; `name` is the item's name as far as events have told it."""

    item_id: int
    name: str | None
    quantity: int
    unit_price: int
    discounted_price: int
    user_coupon_ids: list[int]


class OrderFacts(Struct, frozen=True, kw_only=True):
    """All that is known of one order but its events and its timeline."""

    order: OrderRow
    reason_details: dict[str, Any] | None
    payment_id: UUID | None
    participants: list[str]
    lines: list[OrderLine]


class FindOrders(Call[OrderRows], name="query.find_orders", idempotent=True):
    """Orders, newest first, that fit all of what is given.

    Placed at `since` or later and before `until`. `text` is the whole id of an order, of a message or of a
    correlation; an id that belongs to no order finds nothing.
    """

    status: OrderStatus | None = None
    settled: bool | None = None
    buyer_id: UserNumber | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: SearchText | None = None
    limit: PageSize = 20
    after: UUID | None = None


class GetOrderFacts(Call[OrderFacts], name="query.order_facts", idempotent=True):
    """One order with its lines. Raises `NotFound` while no event has told of it."""

    order_id: UUID


# Events --------------------------------------------------------------------------------------------------


class StoredEvent(Struct, frozen=True, kw_only=True):
    """An event as the store keeps it. `position` rises with every event that is stored.

    `saga_id` is the order's id where the event is about an order, and its correlation id otherwise. `status`
    is what the event means for its saga: PENDING (under way), COMPLETED, FAILED or COMPENSATED (given back).
    """

    position: int
    message_id: str
    saga_id: str
    service: str
    event_type: str
    status: EventStatus
    subject: str
    sequence: int | None
    correlation_id: str | None
    causation_id: str | None
    time: datetime
    stored_at: datetime
    data: Any


class StoredEvents(Struct, frozen=True, kw_only=True):
    """A page of events by rising position; `next` is the `after` of the page that follows, or null."""

    items: list[StoredEvent]
    next: int | None


class ListEvents(Call[StoredEvents], name="query.list_events", idempotent=True):
    """Stored events by rising position, after (that is, above) `after`; of one saga where it is given.

    A page of large events holds fewer than `limit`.
    """

    saga_id: SearchText | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    after: Position = 0


class GetEvent(Call[StoredEvent], name="query.get_event", idempotent=True):
    """One event by its message id. Raises `NotFound`."""

    message_id: SearchText


# The timeline --------------------------------------------------------------------------------------------


class Step(Struct, frozen=True, kw_only=True):
    """One step of an order's way: what a service was asked for, or did by itself, and what came of it.

    `backwards` marks what takes an earlier step back. `attempts` counts how often it was asked for; a step
    still `waiting` has no end; `given_up` is one that will not be answered, since the order needs it no more.
    `duration_ms` runs from start to end. `asked_by` and `answered_by` are the ids
    of the messages, oldest first. They are in the event store, but for the call that a step may begin with.
    """

    service: str
    name: str
    backwards: bool
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    attempts: int
    outcome: Outcome
    reason: str | None
    details: dict[str, Any] | None
    asked_by: list[str]
    answered_by: list[str]


class Waiting(Struct, frozen=True, kw_only=True):
    """What an order waits for now: who is to do what, since when. A completed order waits for its `buyer`."""

    service: str
    step: str
    since: datetime


class Timeline(Struct, frozen=True, kw_only=True):
    """An order's way through the services, steps by their start.

    `complete` is false while events are known to be missing: steps may be missing or look unfinished then.
    """

    order_id: UUID
    buyer_id: int | None
    status: OrderStatus
    reason: str | None
    settled: bool
    paid: bool
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    steps: list[Step]
    waiting_for: list[Waiting]
    events: int
    position: int
    complete: bool


class GetTimeline(Call[Timeline], name="query.timeline", idempotent=True):
    """The timeline of one order; with `buyer_id` only if it is that buyer's.

    Raises `NotFound`, also while no event has told of the order (or, with `buyer_id`, of its buyer).
    """

    order_id: UUID
    buyer_id: UserNumber | None = None


# Figures -------------------------------------------------------------------------------------------------


class RankedItem(Struct, frozen=True, kw_only=True):
    """An item's place in a ranking. Items that sold alike are ranked by the lower id."""

    rank: int
    item_id: int
    name: str | None
    quantity: int
    revenue: int


class Ranking(Struct, frozen=True, kw_only=True):
    """What sold best in a period of the calendar (UTC), from `since` until before `until`; null for `all`.

    `complete` is false while the figures are being rebuilt.
    """

    period: Period
    by: Measure
    since: datetime | None
    until: datetime | None
    items: list[RankedItem]
    complete: bool


class GetRanking(Call[Ranking], name="query.ranking", idempotent=True):
    """The best sellers among paid orders that were not called off.

    A refund in part is of an order's money and not of its lines: it changes no ranking, by revenue neither.
    `day` is the calendar day (UTC) of `on`, which is today where it is left out; `week` is the week from
    Monday on, `month` the month that holds that day.
    """

    period: Period = "all"
    by: Measure = "quantity"
    limit: PageSize = 10
    on: date | None = None


class SalesBucket(Struct, frozen=True, kw_only=True):
    """What was sold in an hour or a day, by the time at which orders were confirmed.

    An order that is called off later leaves `orders`, `quantity` and `revenue`, and is counted as cancelled
    in the same bucket. A refund in part leaves the `revenue` of the bucket in which it was made, which may so
    fall below 0, and is counted there as `refunded`, until its order is called off as a whole.
    """

    start: datetime
    orders: int
    quantity: int
    revenue: int
    refunded: int
    cancelled_orders: int
    cancelled_revenue: int


class Sales(Struct, frozen=True, kw_only=True):
    """Sales figures: every bucket from `since` until before `until`, those without any sales too.

    `complete` is false while the figures are being rebuilt.
    """

    bucket: Bucket
    since: datetime
    until: datetime
    items: list[SalesBucket]
    complete: bool


class GetSales(Call[Sales], name="query.sales", idempotent=True):
    """Sales by hour or day (UTC); `since` and `until` are widened to whole buckets.

    Raises `RuleBroken` for an empty range, and for more than 1,000 buckets.
    """

    since: datetime
    until: datetime
    bucket: Bucket = "day"


class Lag(Struct, frozen=True, kw_only=True):
    """How far the read side has come.

    `position` is that of the last event stored, `folded` that of the last one that the views contain: they
    differ only while the views are being rebuilt. Times are those of the last event stored.
    """

    position: int
    folded: int
    last_event_at: datetime | None
    last_stored_at: datetime | None
    orders: int
    unsettled: int


class GetLag(Call[Lag], name="query.lag", idempotent=True):
    """How far the read side has come."""


class RebuildViews(Call[Lag], name="query.rebuild", idempotent=True):
    """Make orders, rankings and sales again from the stored events; `GetLag` tells how far it is.

    Meanwhile events go on to be stored, and what is read from the views is not complete.
    """


class ExportUser(Call[KeptOf], name="query.export_user", idempotent=True):
    """What this service keeps of a user, for the user."""

    user_id: int
