"""The book of orders: all that the services keep about one order, by its id."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from coupon_svc.domain import Coupon, Line
from ops.verify.check import Facts
from ops.verify.source import Source, merged
from ops.verify.tables import (
    CART_LINES,
    COUPON_CLAIMS,
    COUPON_USES,
    EVENTS,
    HELD_COUPONS,
    HISTORY,
    ITEM_CLAIMS,
    NOTIFICATIONS,
    ORDER_VIEWS,
    ORDERS,
    PARTICIPANTS,
    PAYMENTS,
    POLICIES,
    STOCK,
    TAKINGS,
    USERS,
    CartLine,
    Change,
    Claim,
    CouponUse,
    Notification,
    Order,
    OrderView,
    Participant,
    Payment,
    Policy,
    StockEntry,
    StoredEvent,
    Taking,
)
from shared.clock import aware

# The order's own records first: a participant commits its claim before it tells the order. So a claim may be
# seen that the order has not heard of yet, but never the other way round.
READINGS = (
    ORDERS.by("id"),
    PARTICIPANTS.by("order_id", "id"),
    HISTORY.by("order_id", "id"),
    ITEM_CLAIMS.by("order_id"),
    STOCK.by("order_id", "id"),
    TAKINGS.by("order_id"),
    COUPON_CLAIMS.by("order_id"),
    COUPON_USES.by("order_id", "id"),
    PAYMENTS.by("order_id", "attempt"),
    NOTIFICATIONS.by("order_id", "id"),
    ORDER_VIEWS.by("order_id"),
    EVENTS.by("saga_id", "position"),
)
_KEYS = [reading.key for reading in READINGS]

_read_lines = msgspec.json.Decoder(list[Line]).decode


class _Was(Struct):
    was: str | None = None


_read_was = msgspec.json.Decoder(_Was).decode


def lines_in(text: str | None) -> list[Line] | None:
    """Lines as they are stored; None where they cannot be read."""
    try:
        return _read_lines(text or "")
    except msgspec.DecodeError:
        return None


@dataclass
class OrderRecords:
    """Everything about one order id; `order` is None where the order service does not know it."""

    id: str
    facts: Facts
    order: Order | None
    participants: dict[str, Participant]
    history: list[Change]
    item_claim: Claim | None
    stock: list[StockEntry]
    taking: Taking | None
    coupon_claim: Claim | None
    uses: list[CouponUse]
    payments: list[Payment]
    notifications: list[Notification]
    view: OrderView | None
    events: list[StoredEvent]
    coupons: Mapping[int, Coupon]
    """Those of its lines' coupons that exist, and more."""
    cart: Sequence[CartLine] = ()
    """What its buyer's cart has now."""
    buyer_known: bool = True

    @cached_property
    def lines(self) -> list[Line] | None:
        """Its lines; None where they cannot be read."""
        return lines_in(self.order.lines) if self.order else None

    @cached_property
    def asked(self) -> dict[int, int]:
        """How many pieces of each item its lines ask for."""
        return summed((line.item_id, line.quantity) for line in self.lines or ())

    @cached_property
    def line_coupons(self) -> list[int]:
        """The coupons that its lines name, in their order."""
        return [one for line in self.lines or () for one in line.user_coupon_ids]

    @property
    def status(self) -> str:
        """Where it stands, in words."""
        return self.order.status if self.order else "unknown"

    @property
    def payment(self) -> Payment | None:
        """The payment that is its participant, or that was asked for when it was placed."""
        participant = self.participants.get("payment")
        wanted = participant.payment_id if participant else None
        for payment in self.payments:
            if payment.payment_id == wanted if wanted else payment.attempt == 0:
                return payment
        return None

    @property
    def reason_told(self) -> str | None:
        """Why it failed, as was told then; that its payment was kept is only known later."""
        if self.order is None or self.order.reason != "payment_kept" or not self.order.reason_details:
            return self.order.reason if self.order else None
        try:
            return _read_was(self.order.reason_details).was
        except msgspec.DecodeError:
            return None

    @property
    def needs_attention(self) -> bool:
        """Whether it waits for a person to decide about its payment."""
        return any(payment.state == "NEEDS_ATTENTION" for payment in self.payments)

    @property
    def was_told(self) -> bool:
        """Whether the read side listened already when it was placed."""
        since = self.facts.told_since
        return self.order is not None and since is not None and self.order.created_at >= since

    def happened(self, what: str) -> int:
        """How often something stands in its history."""
        return sum(change.what == what for change in self.history)


def summed(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Numbers added up by their keys."""
    sums: dict[int, int] = {}
    for key, number in pairs:
        sums[key] = sums.get(key, 0) + number
    return sums


def pieces(numbers: Mapping[int, int]) -> str:
    """Pieces by item, in words."""
    return ", ".join(f"{count} of item {item_id}" for item_id, count in sorted(numbers.items())) or "nothing"


async def pages(
    source: Source, facts: Facts, keys: Collection[Any] | None
) -> AsyncIterator[Sequence[tuple[str, OrderRecords]]]:
    """Everything about every order, or about some."""
    policies: dict[int, Policy] = {}
    async with source.streams(READINGS, keys) as streams:
        async for batch in merged(streams, _KEYS):
            page = [_records(key, facts, rows) for key, rows in batch.items()]
            await _look_up(source, page, policies)
            yield [(records.id, records) for records in page]


def _records(key: str, facts: Facts, rows: list[list[Any]]) -> OrderRecords:
    orders, participants, history, item_claims, stock, takings, coupon_claims, uses, *rest = rows
    payments, notifications, views, events = rest
    return OrderRecords(
        id=key,
        facts=facts,
        order=_one(orders),
        participants={one.name: one for one in participants},
        history=history,
        item_claim=_one(item_claims),
        stock=stock,
        taking=_one(takings),
        coupon_claim=_one(coupon_claims),
        uses=uses,
        payments=payments,
        notifications=notifications,
        view=_one(views),
        events=events,
        coupons={},
    )


def _one(rows: list[Any]) -> Any:
    return rows[0] if rows else None


async def _look_up(source: Source, page: Sequence[OrderRecords], policies: dict[int, Policy]) -> None:
    """What does not lie by the order's id: its coupons with their terms, its buyer's cart, its buyer."""
    coupon_ids = {one for records in page for one in records.line_coupons}
    if coupon_ids:
        held = await source.among(HELD_COUPONS.by("id"), coupon_ids)
        unread = {coupon.policy_id for coupon in held} - policies.keys()
        if unread:
            policies.update({one.id: one for one in await source.among(POLICIES.by("id"), unread)})
        coupons = {one.id: _coupon(one, policies[one.policy_id]) for one in held if one.policy_id in policies}
        for records in page:
            records.coupons = coupons
    buyers = {
        one.order.buyer_id for one in page if one.order and one.order.status in ("PENDING", "COMPLETED")
    }
    carts: dict[int, list[CartLine]] = {}
    if buyers:
        for line in await source.among(CART_LINES.by("user_id", "item_id"), buyers):
            carts.setdefault(line.user_id, []).append(line)
    failed = {one.order.buyer_id for one in page if one.order and one.order.status in ("FAIL", "CANCEL")}
    known = {user.id for user in await source.among(USERS.by("id"), failed)} if failed else set[int]()
    for records in page:
        if records.order:
            records.cart = carts.get(records.order.buyer_id, ())
            records.buyer_known = records.order.buyer_id in known


def _coupon(held: Any, policy: Policy) -> Coupon:
    return Coupon(
        held.id,
        held.user_id,
        # A kind that there is not makes no price: judged as a percentage, its discounts do not follow.
        "fixed" if policy.kind == "fixed" else "percentage",
        policy.value,
        policy.floor_price,
        aware(policy.valid_from),
        aware(policy.valid_until),
    )
