"""Orders in the database: loaded and saved in lists, each with one statement, under the orders' row locks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from order_svc.contracts import (
    ConfirmationRejected,
    HistoryEntry,
    Line,
    LineView,
    ListOrders,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    OrderPlaced,
    OrderSettled,
    OrderSummary,
    OrderView,
    ParticipantView,
    ReleaseCoupon,
    ReleaseItem,
    ReleasePayment,
)
from order_svc.saga import Change, Participant, Saga, Stand, Status, Told
from order_svc.settings import OrderSettings
from shared.clock import aware
from shared.messages import Event
from shared.transaction import Reader, Transaction

_CLOCKS_DIFFER = timedelta(days=1)
RELEASES = {"item": ReleaseItem, "coupon": ReleaseCoupon, "payment": ReleasePayment}

_json = msgspec.json.Encoder()
_read_lines = msgspec.json.Decoder(list[Line]).decode
_read_names = msgspec.json.Decoder(dict[int, str]).decode
_read_details = msgspec.json.Decoder(dict[str, Any]).decode

_HISTORY = (
    "SELECT order_id, at, what, participant, status, details FROM order_history WHERE order_id IN %s"
    " ORDER BY id"
)


class ParticipantRow(msgspec.Struct):
    """A participant's row: its id, if it is there already, and when the participant moved last."""

    id: int | None
    moved_at: datetime


class StoredOrder(msgspec.Struct, kw_only=True):
    """An order under its row lock: the saga, and what surrounds it."""

    id: UUID
    buyer_id: int
    total: int
    pay_with: str | None
    version: int
    created_at: datetime
    deadline_at: datetime | None
    saga: Saga
    item_names: dict[int, str]
    """What its items were called when they were taken, once that is known."""
    rows: dict[str, ParticipantRow]
    """What is kept of each participant besides, in the order in which they joined."""
    history: list[HistoryEntry]


async def insert_orders(tx: Transaction, placed: Sequence[OrderPlaced], deadline_s: float) -> None:
    """Write new orders as PENDING, every participant awaited, and tell of them."""
    deadline_at = tx.now + timedelta(seconds=deadline_s)
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
        "INSERT INTO participants (order_id, name, stand, changed_at, releases)"
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
    rows, participant_rows, history_rows = await tx.rows_of_each(
        (
            "SELECT id, buyer_id, total, pay_with, version, created_at, deadline_at, status, reason,"
            " reason_details, settled, paid, item_names FROM orders WHERE id IN %s ORDER BY id FOR UPDATE",
            [ids],
        ),
        (
            "SELECT id, order_id, name, stand, payment_id, changed_at FROM participants"
            " WHERE order_id IN %s ORDER BY id",
            [ids],
        ),
        (_HISTORY, [ids]),
    )
    participants: dict[str, dict[str, Participant]] = {}
    kept: dict[str, dict[str, ParticipantRow]] = {}
    for row_id, order_id, name, stand, payment_id, changed_at in participant_rows:
        paid_by = UUID(payment_id) if payment_id else None
        participants.setdefault(order_id, {})[name] = Participant(stand=Stand(stand), payment_id=paid_by)
        kept.setdefault(order_id, {})[name] = ParticipantRow(row_id, aware(changed_at))
    history = _history(history_rows)
    return {
        UUID(row[0]): StoredOrder(
            id=UUID(row[0]),
            buyer_id=row[1],
            total=row[2],
            pay_with=row[3],
            version=row[4],
            created_at=aware(row[5]),
            deadline_at=aware(row[6]) if row[6] else None,
            saga=Saga(
                status=Status(row[7]),
                reason=row[8],
                reason_details=_read_details(row[9]) if row[9] else None,
                settled=bool(row[10]),
                paid=bool(row[11]),
                pays=row[3] is not None,
                participants=participants.get(row[0], {}),
            ),
            item_names=_read_names(row[12]) if row[12] else {},
            rows=kept.get(row[0], {}),
            history=history.get(row[0], []),
        )
        for row in rows
    }


async def save_orders(tx: Transaction, orders: Iterable[StoredOrder], settings: OrderSettings) -> None:
    """Save the orders that changed, with their history, and emit what follows from the changes."""
    changed = [order for order in orders if order.saga.changes]
    news = [(order, _entry(order, change, tx.now)) for order in changed for change in order.saga.changes]
    for order, entry in news:
        order.history.append(entry)
    for order in changed:
        order.version += 1
        order.deadline_at = _deadline(order, tx.now, settings.order_unpaid_s)
        for name in _moved(order):
            order.rows[name] = ParticipantRow(order.rows[name].id if name in order.rows else None, tx.now)
    # An upsert of rows that are there and locked: columns that never change get some value that is not used.
    await tx.write_many(
        "INSERT INTO orders (id, buyer_id, status, reason, reason_details, settled, paid, total, `lines`,"
        " version, created_at, updated_at, deadline_at, item_names)"
        " VALUES (%s, 0, %s, %s, %s, %s, %s, 0, '', %s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE status = VALUES(status), reason = VALUES(reason),"
        " reason_details = VALUES(reason_details), settled = VALUES(settled), paid = VALUES(paid),"
        " version = VALUES(version), updated_at = VALUES(updated_at), deadline_at = VALUES(deadline_at),"
        " item_names = VALUES(item_names)",
        [
            (
                order.id,
                order.saga.status.value,
                order.saga.reason,
                _details(order.saga.reason_details),
                order.saga.settled,
                order.saga.paid,
                order.version,
                tx.now,
                tx.now,
                order.deadline_at,
                _json.encode(order.item_names).decode() if order.item_names else None,
            )
            for order in changed
        ],
    )
    await _save_participants(tx, changed, settings.order_release_again_s)
    await tx.write_many(
        "INSERT INTO order_history (order_id, at, what, participant, status, details)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [
            (order.id, entry.at, entry.what, entry.participant, entry.status, _details(entry.details))
            for order, entry in news
        ],
    )
    for order in changed:
        _emit(tx, order)


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


def _deadline(order: StoredOrder, now: datetime, unpaid_s: float) -> datetime | None:
    """Until when it waits now: for answers as before, and from its completion on for being paid."""
    if order.saga.status is not Status.COMPLETED:
        return order.deadline_at if order.saga.awaits() else None
    if order.saga.paid:
        return None
    if Told.COMPLETED in order.saga.told:
        return now + timedelta(seconds=unpaid_s) if unpaid_s else None
    return order.deadline_at


async def _save_participants(tx: Transaction, orders: list[StoredOrder], release_again_s: float) -> None:
    due_at = tx.now + timedelta(seconds=release_again_s)
    touched = [(order, name, order.saga.participants[name]) for order in orders for name in _moved(order)]
    # By the row's id, so that the database sees at once that it is there: found only by its second key, it
    # has been written already, and is taken back and changed instead.
    await tx.write_many(
        "INSERT INTO participants"
        " (id, order_id, name, stand, payment_id, changed_at, release_due_at, releases)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE stand = VALUES(stand), payment_id = VALUES(payment_id),"
        " changed_at = VALUES(changed_at), release_due_at = VALUES(release_due_at),"
        " releases = releases + VALUES(releases)",
        [
            (
                order.rows[name].id,
                order.id,
                name,
                participant.stand.value,
                participant.payment_id,
                tx.now,
                due_at if participant.stand is Stand.RELEASING else None,
                int(name in order.saga.releases),
            )
            for order, name, participant in touched
        ],
    )


def _emit(tx: Transaction, order: StoredOrder) -> None:
    for name in order.saga.releases:
        tx.emit(RELEASES[name](order_id=order.id), sequence=order.version)
    for told in order.saga.told:
        tx.emit(_event(order, told, tx.now), sequence=order.version)
    for payment_id in order.saga.rejected:
        reason = order.saga.reason or ("paid" if order.saga.paid else "not_completed")
        rejected = ConfirmationRejected(order_id=order.id, payment_id=payment_id, reason=reason)
        tx.emit(rejected, sequence=order.version)


def _event(order: StoredOrder, told: Told, now: datetime) -> Event:
    reason = order.saga.reason or ""
    match told:
        case Told.COMPLETED:
            return OrderCompleted(
                order_id=order.id,
                buyer_id=order.buyer_id,
                total=order.total,
                paid=order.saga.paid,
                version=order.version,
                participants=[
                    ParticipantView(name=name, state=one.stand.value, changed_at=order.rows[name].moved_at)
                    for name, one in order.saga.participants.items()
                ],
                history=order.history,
                item_names=order.item_names,
            )
        case Told.CONFIRMED:
            payment_id = order.saga.participants["payment"].payment_id
            assert payment_id is not None  # noqa: S101  payment said yes, and every yes of it bears its id
            return OrderConfirmed(
                order_id=order.id,
                buyer_id=order.buyer_id,
                total=order.total,
                payment_id=payment_id,
                confirmed_at=now,
            )
        case Told.FAILED:
            return OrderFailed(
                order_id=order.id,
                buyer_id=order.buyer_id,
                reason=reason,
                reason_details=order.saga.reason_details,
                settled=order.saga.settled,
                was_completed=order.saga.was_completed,
            )
        case Told.CANCELLED:
            return OrderCancelled(order_id=order.id, buyer_id=order.buyer_id, reason=reason)
        case Told.SETTLED:
            return OrderSettled(order_id=order.id, buyer_id=order.buyer_id, reason=reason)


async def views(reader: Reader, order_ids: Sequence[UUID]) -> dict[UUID, OrderView]:
    """Orders as their buyers see them, by id."""
    if not order_ids:
        return {}
    ids = sorted({str(order_id) for order_id in order_ids})
    # First the status: whoever sees an order settled must not see its participants as they were before.
    rows, participant_rows, history_rows = await reader.rows_of_each(
        (
            "SELECT id, buyer_id, status, reason, reason_details, settled, paid, pay_with, total, `lines`,"
            " version, created_at, item_names FROM orders WHERE id IN %s",
            [ids],
        ),
        (
            "SELECT order_id, name, stand, changed_at FROM participants WHERE order_id IN %s ORDER BY id",
            [ids],
        ),
        (_HISTORY, [ids]),
    )
    participants: dict[str, list[ParticipantView]] = {}
    for order_id, name, stand, changed_at in participant_rows:
        view = ParticipantView(name=name, state=stand, changed_at=aware(changed_at))
        participants.setdefault(order_id, []).append(view)
    history = _history(history_rows)
    return {
        UUID(row[0]): OrderView(
            id=UUID(row[0]),
            buyer_id=row[1],
            status=row[2],
            reason=row[3],
            reason_details=_read_details(row[4]) if row[4] else None,
            settled=bool(row[5]),
            paid=bool(row[6]),
            pay_with=row[7],
            total=row[8],
            lines=line_views(_read_lines(row[9]), _read_names(row[12]) if row[12] else {}),
            participants=participants.get(row[0], []),
            history=history.get(row[0], []),
            version=row[10],
            created_at=aware(row[11]),
        )
        for row in rows
    }


def _history(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[HistoryEntry]]:
    """What `_HISTORY` finds, by order."""
    history: dict[str, list[HistoryEntry]] = {}
    for order_id, at, what, participant, status, details in rows:
        entry = HistoryEntry(
            at=aware(at),
            what=what,
            participant=participant,
            status=status,
            details=_read_details(details) if details else None,
        )
        history.setdefault(order_id, []).append(entry)
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
    must("id >= %s", _id_at(wanted.since, -_CLOCKS_DIFFER))
    must("id <= %s", _id_at(wanted.until, _CLOCKS_DIFFER))
    rows = await reader.rows(
        "SELECT id, buyer_id, status, reason, settled, paid, total, version, created_at FROM orders"  # noqa: S608
        f" WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %s",
        [*args, limit],
    )
    return [
        OrderSummary(
            id=UUID(row[0]),
            buyer_id=row[1],
            status=row[2],
            reason=row[3],
            settled=bool(row[4]),
            paid=bool(row[5]),
            total=row[6],
            version=row[7],
            created_at=aware(row[8]),
        )
        for row in rows
    ]


def _id_at(moment: datetime | None, shift: timedelta) -> UUID | None:
    """The least id (UUIDv7) that could be made at a moment, moved by `shift`."""
    if moment is None:
        return None
    ms = int((moment.timestamp() + shift.total_seconds()) * 1000)
    return UUID(int=min(max(ms, 0), 2**48 - 1) << 80)


def _details(details: dict[str, Any] | None) -> str | None:
    return _json.encode(details).decode() if details is not None else None
