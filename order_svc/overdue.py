"""Orders that should have moved on by now, and what each waits for."""

from datetime import datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from order_svc.contracts import ListOverdue, Missing, OverdueOrder, OverduePage
from order_svc.saga import State, Status
from order_svc.settings import OrderSettings
from shared.database import Reader, Row, Select, page


def _waits_for(state: State) -> Literal["answer", "release"] | None:
    """What an order waits for from a participant that stands so."""
    match state:
        case State.AWAITING:
            return "answer"
        case State.RELEASING:
            return "release"
        case State.YES | State.NO | State.RELEASED | State.KEPT:
            return None
        case _:
            assert_never(state)


_WAITS_FOR: dict[State, Literal["answer", "release"]] = {
    state: what for state in State if (what := _waits_for(state))
}


class _Late(Row):
    id: UUID


class _Order(Row):
    id: UUID
    buyer_id: int
    status: str
    reason: str | None
    created_at: datetime
    deadline_at: datetime | None
    updated_at: datetime


class _Waiting(Row):
    order_id: UUID
    name: str
    state: State
    changed_at: datetime


_LATE = Select(
    _Late,
    "FROM (SELECT id FROM orders WHERE deadline_at < %s UNION SELECT order_id FROM participants"
    " WHERE release_due_at IS NOT NULL AND changed_at < %s) late WHERE id > %s ORDER BY id LIMIT %s",
)
_ORDERS = Select(_Order, "FROM orders WHERE id IN %s ORDER BY id")
_WAITING = Select(_Waiting, "FROM participants WHERE order_id IN %s AND state IN %s ORDER BY order_id, name")


async def list_overdue(call: ListOverdue, reader: Reader, settings: OrderSettings) -> OverduePage:
    """A page of overdue orders, oldest first, each with the answers that are missing."""
    patience = timedelta(seconds=settings.order_release_again_s)
    late, after = await page(
        call.limit,
        lambda most: reader.find(_LATE, reader.now, reader.now - patience, call.after or "", most),
        lambda order: order.id,
    )
    if not late:
        return OverduePage(items=[], next=None)
    ids = [order.id for order in late]
    orders = await reader.find(_ORDERS, ids)
    waiting: dict[UUID, list[_Waiting]] = {}
    for one in await reader.find(_WAITING, ids, [state.value for state in _WAITS_FOR]):
        waiting.setdefault(one.order_id, []).append(one)
    items = [
        _overdue(order, waiting.get(order.id, []), patience=patience, now=reader.now) for order in orders
    ]
    return OverduePage(items=items, next=after)


def _overdue(order: _Order, waiting: list[_Waiting], *, patience: timedelta, now: datetime) -> OverdueOrder:
    missing = [Missing(waits_for=_WAITS_FOR[one.state], of=one.name, since=one.changed_at) for one in waiting]
    if order.status == Status.COMPLETED and order.deadline_at is not None:
        missing.append(Missing(waits_for="payment", of="buyer", since=order.updated_at))
    due = [one.changed_at + patience for one in waiting if one.state is State.RELEASING]
    if order.deadline_at is not None:
        due.append(order.deadline_at)
    due_at = min(due) if due else now
    return OverdueOrder(
        id=order.id,
        buyer_id=order.buyer_id,
        status=order.status,
        reason=order.reason,
        created_at=order.created_at,
        due_at=due_at,
        overdue_seconds=max((now - due_at).total_seconds(), 0.0),
        missing=missing,
    )
