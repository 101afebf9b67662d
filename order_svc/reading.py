"""Orders as their buyers and the shop's people see them: one by one with all that happened, or in pages."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from order_svc.contracts import (
    HistoryEntry,
    Line,
    LineView,
    ListOrders,
    OrderSummary,
    OrderView,
    ParticipantView,
)
from shared.database.transaction import Reader

_CLOCKS_DIFFER = timedelta(days=1)

_read_lines = msgspec.json.Decoder(list[Line]).decode
read_names = msgspec.json.Decoder(dict[int, str]).decode
read_details = msgspec.json.Decoder(dict[str, Any]).decode

HISTORY = (
    "SELECT order_id, at, what, participant, status, details FROM order_history WHERE order_id IN %s"
    " ORDER BY id"
)
"""What happened to orders; see `read_history`."""


async def of_orders(reader: Reader, order_ids: Sequence[UUID]) -> dict[UUID, OrderView]:
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
        (HISTORY, [ids]),
    )
    participants: dict[str, list[ParticipantView]] = {}
    for order_id, name, stand, changed_at in participant_rows:
        view = ParticipantView(name=name, state=stand, changed_at=changed_at)
        participants.setdefault(order_id, []).append(view)
    history = read_history(history_rows)
    return {
        UUID(row[0]): OrderView(
            id=UUID(row[0]),
            buyer_id=row[1],
            status=row[2],
            reason=row[3],
            reason_details=read_details(row[4]) if row[4] else None,
            settled=bool(row[5]),
            paid=bool(row[6]),
            pay_with=row[7],
            total=row[8],
            lines=line_views(_read_lines(row[9]), read_names(row[12]) if row[12] else {}),
            participants=participants.get(row[0], []),
            history=history.get(row[0], []),
            version=row[10],
            created_at=row[11],
        )
        for row in rows
    }


def read_history(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[HistoryEntry]]:
    """What `HISTORY` finds, by order."""
    history: dict[str, list[HistoryEntry]] = {}
    for order_id, at, what, participant, status, details in rows:
        entry = HistoryEntry(
            at=at,
            what=what,
            participant=participant,
            status=status,
            details=read_details(details) if details else None,
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
            created_at=row[8],
        )
        for row in rows
    ]


def _id_at(moment: datetime | None, shift: timedelta) -> UUID | None:
    """The least id (UUIDv7) that could be made at a moment, moved by `shift`."""
    if moment is None:
        return None
    ms = int((moment.timestamp() + shift.total_seconds()) * 1000)
    return UUID(int=min(max(ms, 0), 2**48 - 1) << 80)
