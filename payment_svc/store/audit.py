"""Who did what about money: one row for each thing that a person of the shop did, in the unit that did it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from payment_svc.contracts import AuditEntry, ListAudit, Resolution
from shared.database import Reader, Row, Select, Transaction

Action = Literal["payment.resolved", "payment.refunded", "points.granted"]


class _Noted(Row):
    subject: str
    at: datetime
    actor_id: int
    details: dict[str, Any]


_ENTRIES = Select(AuditEntry, "FROM audit_log", made={"by": "actor_id"})
_REFUNDS = Select(_Noted, "FROM audit_log WHERE subject = %s AND action = 'payment.refunded'")
_RESOLUTIONS = Select(
    _Noted, "FROM audit_log WHERE subject IN %s AND action = 'payment.resolved' ORDER BY id"
)


async def note(
    tx: Transaction, by: int, action: Action, subject: UUID | int, details: dict[str, Any]
) -> None:
    """Write down that `by` did this to a payment or a user."""
    await tx.write(
        "INSERT INTO audit_log (at, actor_id, action, subject, details) VALUES (%s, %s, %s, %s, %s)",
        (tx.now, by, action, str(subject), msgspec.json.encode(details).decode()),
    )


async def refund_asked(db: Reader, payment_id: UUID, refund_id: UUID) -> dict[str, Any] | None:
    """What was noted of this refund of a payment, if it was asked for before."""
    noted = [one.details for one in await db.find(_REFUNDS, payment_id)]
    return next((one for one in noted if one["refund_id"] == str(refund_id)), None)


async def entries(db: Reader, wanted: ListAudit, *, limit: int) -> list[AuditEntry]:
    """The newest `limit` entries of the log, as far as they are wanted."""
    subject = wanted.payment_id if wanted.payment_id is not None else wanted.user_id
    filters = {
        "id < %s": wanted.after,
        "actor_id = %s": wanted.by,
        "action = %s": wanted.action,
        "subject = %s": str(subject) if subject is not None else None,
        "at >= %s": wanted.since,
        "at < %s": wanted.until,
    }
    given = {sql: value for sql, value in filters.items() if value is not None}
    where = f"WHERE {' AND '.join(given)} " if given else ""
    return await db.find(_ENTRIES + f"{where}ORDER BY id DESC LIMIT %s", *given.values(), limit)


async def resolutions(db: Reader, payment_ids: list[UUID]) -> dict[UUID, Resolution]:
    """How those of these payments were closed that a person has closed; the last time counts."""
    [noted] = await db.ask(_RESOLUTIONS.among(payment_ids))
    return {
        UUID(one.subject): Resolution(
            outcome=one.details["outcome"], reason=one.details["reason"], by=one.actor_id, at=one.at
        )
        for one in noted
    }
