"""Who did what about money: one row for each thing that a person of the shop did, in the unit that did it."""

from typing import Any, Literal
from uuid import UUID

import msgspec

from payment_svc.contracts import AuditEntry, AuditPage, ListAudit, Resolution
from shared.database.transaction import Reader, Transaction

Action = Literal["payment.resolved", "payment.refunded", "points.granted"]


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
    rows = await db.rows(
        "SELECT details FROM audit_log WHERE subject = %s AND action = 'payment.refunded'", (payment_id,)
    )
    noted = (msgspec.json.decode(text, type=dict) for (text,) in rows)
    return next((one for one in noted if one["refund_id"] == str(refund_id)), None)


async def page(call: ListAudit, db: Reader) -> AuditPage:
    """A page of the log, newest first."""
    rows = await db.rows(
        "SELECT id, at, actor_id, action, subject, details FROM audit_log"
        " WHERE id < %s ORDER BY id DESC LIMIT %s",
        (call.after or 2**63 - 1, call.limit + 1),
    )
    items = [
        AuditEntry(
            id=row_id,
            at=at,
            by=by,
            action=action,
            subject=subject,
            details=msgspec.json.decode(details, type=dict),
        )
        for row_id, at, by, action, subject, details in rows[: call.limit]
    ]
    return AuditPage(items=items, next=items[-1].id if len(rows) > call.limit else None)


async def resolutions(db: Reader, payment_ids: list[UUID]) -> dict[UUID, Resolution]:
    """How those of these payments were closed that a person has closed; the last time counts."""
    if not payment_ids:
        return {}
    rows = await db.rows(
        "SELECT subject, at, actor_id, details FROM audit_log"
        " WHERE subject IN %s AND action = 'payment.resolved' ORDER BY id",
        (payment_ids,),
    )
    found: dict[UUID, Resolution] = {}
    for subject, at, by, text in rows:
        details = msgspec.json.decode(text, type=dict)
        found[UUID(subject)] = Resolution(outcome=details["outcome"], reason=details["reason"], by=by, at=at)
    return found
