"""Orders as their buyers and the shop's people see them: one by one with all that happened, or in pages."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from order_svc.contracts import (
    HistoryEntry,
    Line,
    LineView,
    ListOrders,
    OrderSummary,
    OrderView,
    ParticipantView,
    PayWith,
)
from shared.database import Reader, Row, Select
from shared.ids import least_id

_CLOCKS_DIFFER = timedelta(days=1)


class _Order(Row):
    id: UUID
    buyer_id: int
    status: str
    reason: str | None
    reason_details: dict[str, Any] | None
    settled: bool
    paid: bool
    pay_with: PayWith | None
    total: int
    lines: list[Line]
    version: int
    created_at: datetime
    item_names: dict[int, str] | None


class _Participant(Row):
    order_id: str
    name: str
    state: str
    changed_at: datetime


class HistoryRow(Row):
    """Something that happened to an order."""

    order_id: str
    at: datetime
    what: str
    participant: str | None
    status: str
    details: dict[str, Any] | None


class Bill(Row):
    """What an order costs, whom, and whether that is to be paid."""

    buyer_id: int
    status: str
    paid: bool
    total: int


BILL = Select(Bill, "FROM orders WHERE id = %s")
_ORDERS = Select(_Order, "FROM orders WHERE id IN %s")
_SUMMARIES = Select(OrderSummary, "FROM orders")
_PARTICIPANTS = Select(_Participant, "FROM participants WHERE order_id IN %s ORDER BY id")
HISTORY = Select(HistoryRow, "FROM order_history WHERE order_id IN %s ORDER BY id")
"""What happened to orders; see `by_order`."""


async def of_orders(reader: Reader, order_ids: Sequence[UUID]) -> dict[UUID, OrderView]:
    """Orders as their buyers see them, by id."""
    if not order_ids:
        return {}
    ids = sorted({str(order_id) for order_id in order_ids})
    # First the status: whoever sees an order settled must not see its participants as they were before.
    rows, participant_rows, history_rows = await reader.ask(
        _ORDERS.of(ids), _PARTICIPANTS.of(ids), HISTORY.of(ids)
    )
    participants: dict[str, list[ParticipantView]] = {}
    for row in participant_rows:
        view = ParticipantView(name=row.name, state=row.state, changed_at=row.changed_at)
        participants.setdefault(row.order_id, []).append(view)
    history = by_order(history_rows)
    orders: dict[UUID, OrderView] = {}
    for row in rows:
        order_id = str(row.id)
        orders[row.id] = OrderView(
            id=row.id,
            buyer_id=row.buyer_id,
            status=row.status,
            reason=row.reason,
            reason_details=row.reason_details,
            settled=row.settled,
            paid=row.paid,
            pay_with=row.pay_with,
            total=row.total,
            lines=line_views(row.lines, row.item_names or {}),
            participants=participants.get(order_id, []),
            history=history.get(order_id, []),
            version=row.version,
            created_at=row.created_at,
        )
    return orders


def by_order(rows: Iterable[HistoryRow]) -> dict[str, list[HistoryEntry]]:
    """What `HISTORY` finds, by order."""
    history: dict[str, list[HistoryEntry]] = {}
    for row in rows:
        entry = HistoryEntry(
            at=row.at, what=row.what, participant=row.participant, status=row.status, details=row.details
        )
        history.setdefault(row.order_id, []).append(entry)
    return history


def line_views(lines: Sequence[Line], names: Mapping[int, str]) -> list[LineView]:
    """Lines with what their items were called, as far as it is known."""
    return [
        LineView(
            item_id=line.item_id,
            quantity=line.quantity,
            unit_price=line.unit_price,
            discounted_price=line.discounted_price,
            user_coupon_ids=line.user_coupon_ids,
            name=names.get(line.item_id),
        )
        for line in lines
    ]


async def summaries(reader: Reader, wanted: ListOrders, *, limit: int) -> list[OrderSummary]:
    """The newest `limit` of the wanted orders that come after `wanted.after` (ids sort by time)."""
    conditions, args = ["1 = 1"], list[Any]()

    def must(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            args.append(value)

    must("buyer_id = %s", wanted.buyer_id)
    must("id < %s", wanted.after)
    must("status = %s", wanted.status)
    must("created_at >= %s", wanted.since)
    must("created_at < %s", wanted.until)
    # Ids begin with the time they were made at, and are indexed; a day allows for clocks that disagree.
    must("id >= %s", wanted.since and least_id(wanted.since - _CLOCKS_DIFFER))
    must("id <= %s", wanted.until and least_id(wanted.until + _CLOCKS_DIFFER))
    wanted_rows = _SUMMARIES + f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %s"
    return await reader.find(wanted_rows, *args, limit)
