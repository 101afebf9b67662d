"""The facts of one order as its page shows them: from the order service or, without it, from events."""

from datetime import datetime
from typing import Any, assert_never, cast
from uuid import UUID

from msgspec import Struct

from order_svc.contracts import OrderStatus, OrderView
from query_svc.contracts import OrderFacts


class CardLine(Struct, frozen=True):
    """A line of an order."""

    item_id: int
    name: str | None
    quantity: int
    unit_price: int
    discounted_price: int
    coupons: list[int]

    @property
    def total(self) -> int:
        """What the line costs."""
        return self.quantity * self.discounted_price


class Standing(Struct, frozen=True):
    """Where a participant stands."""

    name: str
    state: str | None
    since: datetime | None


class OrderCard(Struct, frozen=True, kw_only=True):
    """What there is to know of an order at a glance; `by_events` where only its events could be asked."""

    id: UUID
    buyer_id: int | None
    status: str
    reason: str | None
    reason_details: dict[str, Any] | None
    settled: bool
    paid: bool
    pay_with: str | None
    total: int | None
    placed_at: datetime | None
    participants: list[Standing]
    lines: list[CardLine]
    by_events: bool

    @property
    def may_be_cancelled(self) -> bool:
        """Whether an admin can still call it off."""
        status = cast(OrderStatus, self.status)
        match status:
            case "PENDING" | "COMPLETED":
                return not self.by_events
            case "FAIL" | "CANCEL":
                return False
            case _:
                assert_never(status)


def from_order(order: OrderView) -> OrderCard:
    """As the order service keeps it: the truth."""
    return OrderCard(
        id=order.id,
        buyer_id=order.buyer_id,
        status=order.status,
        reason=order.reason,
        reason_details=order.reason_details,
        settled=order.settled,
        paid=order.paid,
        pay_with=order.pay_with,
        total=order.total,
        placed_at=order.created_at,
        participants=[Standing(one.name, one.state, one.changed_at) for one in order.participants],
        lines=[
            CardLine(
                line.item_id,
                line.name,
                line.quantity,
                line.unit_price,
                line.discounted_price,
                line.user_coupon_ids,
            )
            for line in order.lines
        ],
        by_events=False,
    )


def from_facts(facts: OrderFacts) -> OrderCard:
    """As its events tell of it: perhaps a moment behind."""
    order = facts.order
    return OrderCard(
        id=order.order_id,
        buyer_id=order.buyer_id,
        status=order.status,
        reason=order.reason,
        reason_details=facts.reason_details,
        settled=order.settled,
        paid=order.paid,
        pay_with=order.pay_with,
        total=order.total,
        placed_at=order.placed_at,
        participants=[Standing(name, None, None) for name in facts.participants],
        lines=[
            CardLine(
                line.item_id,
                line.name,
                line.quantity,
                line.unit_price,
                line.discounted_price,
                line.user_coupon_ids,
            )
            for line in facts.lines
        ],
        by_events=True,
    )
