"""Orders that should have moved on by now, and what each waits for."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from order_svc.contracts import ListOverdue, Missing, OverdueOrder, OverduePage
from order_svc.saga import Stand, Status
from order_svc.settings import OrderSettings
from shared.database.transaction import Reader

_WAITS_FOR: dict[Stand, Literal["answer", "release"]] = {Stand.AWAITING: "answer", Stand.RELEASING: "release"}


async def list_overdue(call: ListOverdue, reader: Reader, settings: OrderSettings) -> OverduePage:
    """A page of overdue orders, oldest first, each with the answers that are missing."""
    patience = timedelta(seconds=settings.order_release_again_s)
    after = str(call.after) if call.after else ""
    found = await reader.rows(
        "SELECT id FROM (SELECT id FROM orders WHERE deadline_at < %s UNION SELECT order_id FROM participants"
        " WHERE release_due_at IS NOT NULL AND changed_at < %s) late WHERE id > %s ORDER BY id LIMIT %s",
        (reader.now, reader.now - patience, after, call.limit + 1),
    )
    ids = [row[0] for row in found[: call.limit]]
    if not ids:
        return OverduePage(items=[], next=None)
    orders = await reader.rows(
        "SELECT id, buyer_id, status, reason, created_at, deadline_at, updated_at FROM orders WHERE id IN %s"
        " ORDER BY id",
        [ids],
    )
    waiting: dict[str, list[tuple[str, Stand, datetime]]] = {}
    for order_id, name, stand, changed_at in await reader.rows(
        "SELECT order_id, name, stand, changed_at FROM participants WHERE order_id IN %s AND stand IN %s"
        " ORDER BY order_id, name",
        [ids, [stand.value for stand in _WAITS_FOR]],
    ):
        waiting.setdefault(order_id, []).append((name, Stand(stand), changed_at))
    items = [_overdue(row, waiting.get(row[0], []), patience=patience, now=reader.now) for row in orders]
    return OverduePage(items=items, next=UUID(ids[-1]) if len(found) > call.limit else None)


def _overdue(
    row: tuple[UUID, int, str, str | None, datetime, datetime | None, datetime],
    waiting: list[tuple[str, Stand, datetime]],
    *,
    patience: timedelta,
    now: datetime,
) -> OverdueOrder:
    order_id, buyer_id, status, reason, created_at, deadline_at, updated_at = row
    missing = [Missing(waits_for=_WAITS_FOR[stand], of=name, since=since) for name, stand, since in waiting]
    if status == Status.COMPLETED and deadline_at is not None:
        missing.append(Missing(waits_for="payment", of="buyer", since=updated_at))
    due = [since + patience for _, stand, since in waiting if stand is Stand.RELEASING]
    if deadline_at is not None:
        due.append(deadline_at)
    due_at = min(due) if due else now
    return OverdueOrder(
        id=UUID(str(order_id)),
        buyer_id=buyer_id,
        status=status,
        reason=reason,
        created_at=created_at,
        due_at=due_at,
        overdue_seconds=max((now - due_at).total_seconds(), 0.0),
        missing=missing,
    )
