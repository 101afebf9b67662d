"""Orders in the database: loaded and saved in lists, with few statements, under the orders' row locks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from order_svc import due
from order_svc.announcing import announcements
from order_svc.contracts import HistoryEntry, OrderPlaced
from order_svc.reading import HISTORY, by_order
from order_svc.saga import Change, Participant, Saga, State, Status
from order_svc.settings import OrderSettings
from order_svc.stored import StoredOrder, StoredParticipant
from shared.database import Row, Select, Transaction, each

_json = msgspec.json.Encoder()


class _Order(Row):
    id: UUID
    buyer_id: int
    total: int
    pay_with: str | None
    version: int
    created_at: datetime
    deadline_at: datetime | None
    extended_at: datetime | None
    status: Status
    reason: str | None
    reason_details: dict[str, Any] | None
    settled: bool
    paid: bool
    item_names: dict[int, str] | None


class _Participant(Row):
    id: int
    order_id: str
    name: str
    state: State
    payment_id: UUID | None
    changed_at: datetime


_LOCKING = Select(_Order, "FROM orders WHERE id IN %s ORDER BY id FOR UPDATE")
_PARTICIPANTS = Select(_Participant, "FROM participants WHERE order_id IN %s ORDER BY id")


async def insert_orders(tx: Transaction, placed: Sequence[OrderPlaced], settings: OrderSettings) -> None:
    """Write new orders as PENDING, every participant awaited, and tell of them."""
    deadline_at = due.answers_due(tx.now, settings)
    await tx.write_many(
        "INSERT INTO orders (id, buyer_id, status, settled, paid, pay_with, total, `lines`, version,"
        " created_at, updated_at, deadline_at) VALUES (%s, %s, 'PENDING', 0, 0, %s, %s, %s, 1, %s, %s, %s)",
        [
            (
                order.order_id,
                order.buyer_id,
                order.pay_with,
                order.total,
                _json.encode(order.lines).decode(),
                tx.now,
                tx.now,
                deadline_at,
            )
            for order in placed
        ],
    )
    await tx.write_many(
        "INSERT INTO participants (order_id, name, state, changed_at, releases)"
        " VALUES (%s, %s, 'AWAITING', %s, 0)",
        [(order.order_id, name, tx.now) for order in placed for name in order.participants],
    )
    await tx.write_many(
        "INSERT INTO order_history (order_id, at, what, status) VALUES (%s, %s, 'ORDER_CREATED', 'PENDING')",
        [(order.order_id, tx.now) for order in placed],
    )
    for order in placed:
        tx.emit(order, sequence=1)


async def lock_orders(tx: Transaction, order_ids: Iterable[UUID]) -> dict[UUID, StoredOrder]:
    """Load orders under their row locks, taken in the order of their ids so that lists cannot deadlock."""
    ids = sorted({str(order_id) for order_id in order_ids})
    if not ids:
        return {}
    rows, participant_rows, history_rows = await tx.ask(
        _LOCKING.of(ids), _PARTICIPANTS.of(ids), HISTORY.of(ids)
    )
    participants: dict[str, dict[str, Participant]] = {}
    kept: dict[str, dict[str, StoredParticipant]] = {}
    for row in participant_rows:
        participant = Participant(state=row.state, payment_id=row.payment_id)
        participants.setdefault(row.order_id, {})[row.name] = participant
        kept.setdefault(row.order_id, {})[row.name] = StoredParticipant(row.id, row.changed_at)
    history = by_order(history_rows)
    orders: dict[UUID, StoredOrder] = {}
    for row in rows:
        order_id = str(row.id)
        orders[row.id] = StoredOrder(
            id=row.id,
            buyer_id=row.buyer_id,
            total=row.total,
            pay_with=row.pay_with,
            version=row.version,
            created_at=row.created_at,
            deadline_at=row.deadline_at,
            extended_at=row.extended_at,
            saga=Saga(
                status=row.status,
                reason=row.reason,
                reason_details=row.reason_details,
                settled=row.settled,
                paid=row.paid,
                pays=row.pay_with is not None,
                participants=participants.get(order_id, {}),
            ),
            item_names=row.item_names or {},
            rows=kept.get(order_id, {}),
            history=history.get(order_id, []),
        )
    return orders


async def save_orders(
    tx: Transaction, orders: Iterable[StoredOrder], settings: OrderSettings, *, by: int = 0
) -> None:
    """Save the orders that changed, with their history, and emit what follows from the changes.

    `by` is the user who changed them; 0: the saga did.
    """
    changed = [order for order in orders if order.saga.changes]
    news = [(order, _entry(order, change, tx.now)) for order in changed for change in order.saga.changes]
    for order, entry in news:
        order.history.append(entry)
    for order in changed:
        order.version += 1
        order.deadline_at = due.order_due(order.saga, order.deadline_at, tx.now, settings)
        for name in _moved(order):
            row_id = order.rows[name].id if name in order.rows else None
            order.rows[name] = StoredParticipant(row_id, tx.now)
    await _save_states(tx, changed)
    await _save_participants(tx, changed, settings)
    await tx.write_many(
        "INSERT INTO order_history (order_id, at, what, participant, status, details, by_user)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            (
                order.id,
                entry.at,
                entry.what,
                entry.participant,
                entry.status,
                _details(entry.details),
                by or None,
            )
            for order, entry in news
        ],
    )
    for order in changed:
        for event in announcements(order, tx.now):
            tx.emit(event, sequence=order.version)


def _entry(order: StoredOrder, change: Change, now: datetime) -> HistoryEntry:
    return HistoryEntry(
        at=now,
        what=change.what,
        participant=change.participant,
        status=order.saga.status.value,
        details=change.details,
    )


def _moved(order: StoredOrder) -> list[str]:
    """The participants that stand elsewhere than before this unit of work."""
    return sorted({one.participant for one in order.saga.changes if one.participant and one.moves})


async def _save_states(tx: Transaction, orders: list[StoredOrder]) -> None:
    """How orders stand now, and until when they wait.

    Most of a list have come to the same, and one statement does for all of these.
    """
    alike: dict[tuple[Any, ...], list[StoredOrder]] = {}
    for order in orders:
        saga = order.saga
        details = _details(saga.reason_details)
        state = (saga.status.value, saga.reason, details, saga.settled, saga.paid, order.deadline_at)
        alike.setdefault(state, []).append(order)
    for state, these in alike.items():
        named = {order.id: _json.encode(order.item_names).decode() for order in these if order.item_names}
        for names, ids in each(named, ids=[order.id for order in these], otherwise="item_names"):
            await tx.write(
                "UPDATE orders SET status = %s, reason = %s, reason_details = %s, settled = %s, paid = %s,"
                " deadline_at = %s, version = version + 1, updated_at = %s, item_names = %s WHERE id IN %s",
                [*state, tx.now, names, ids],
            )


async def _save_participants(tx: Transaction, orders: list[StoredOrder], settings: OrderSettings) -> None:
    """Where participants stand now, and when those are due that have to give back.

    Those that stand alike are written in one statement; who is new gets a row.
    """
    alike: dict[tuple[Any, ...], dict[int, Participant]] = {}
    joined: list[tuple[Any, ...]] = []
    for order, name in [(one, name) for one in orders for name in _moved(one)]:
        participant = order.saga.participants[name]
        state = participant.state
        due_at = due.participant_due(state, tx.now, settings)
        asked = int(name in order.saga.releases)
        row_id = order.rows[name].id
        if row_id is None:
            joined.append((order.id, name, state.value, tx.now, due_at, asked, participant.payment_id))
        else:
            alike.setdefault((state.value, tx.now, due_at, asked), {})[row_id] = participant
    for values, these in alike.items():
        paid_by = {row_id: one.payment_id for row_id, one in these.items() if one.payment_id}
        for payments, ids in each(paid_by, ids=sorted(these), otherwise="payment_id"):
            await tx.write(
                "UPDATE participants SET state = %s, changed_at = %s, release_due_at = %s,"
                " releases = releases + %s, payment_id = %s WHERE id IN %s",
                [*values, payments, ids],
            )
    await tx.write_many(
        "INSERT INTO participants (order_id, name, state, changed_at, release_due_at, releases, payment_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        joined,
    )


async def hasten_releases(tx: Transaction, order: StoredOrder, settings: OrderSettings) -> None:
    """Have what an order waits for be asked for as soon as at the first time: somebody wants it again."""
    soon = due.participant_due(State.RELEASING, tx.now, settings)
    await tx.write(
        "UPDATE participants SET release_due_at = LEAST(COALESCE(release_due_at, %s), %s)"
        " WHERE order_id = %s AND state = 'RELEASING'",
        (soon, soon, order.id),
    )


def _details(details: dict[str, Any] | None) -> str | None:
    return _json.encode(details).decode() if details is not None else None
