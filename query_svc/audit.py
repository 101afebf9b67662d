"""What the services tell of who did what, kept in the audit log beside what operators do here.

An entry is made from the event that the unit of work emitted which did it: through its outbox, so that there
is no change without an entry, and by the event's id, so that there are no two of one.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from query_svc.domain import Kept
from shared.database import Transaction
from shared.logs import log
from shared.messages import View


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    by: int
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None = None


class ItemAudited(_Told, View, of="item.audited"):
    """Somebody changed an item or its stock."""


class CouponAudited(_Told, View, of="coupon.audited"):
    """Somebody made a coupon policy, or granted coupons of one."""


class OrderAudited(_Told, View, of="order.audited"):
    """Somebody of the shop cancelled an order."""


class UserAudited(_Told, View, of="user.audited"):
    """Somebody changed what a user may do."""


_READERS = {
    kind.wire_name: msgspec.json.Decoder(kind)
    for kind in (ItemAudited, CouponAudited, OrderAudited, UserAudited)
}
_INSERT = (
    "INSERT INTO operator_actions"
    " (request_id, at, by_user, action, target, affected, unaffected, reason, details)"
    " VALUES (%s, %s, %s, %s, %s, 1, 0, %s, %s) ON DUPLICATE KEY UPDATE request_id = request_id"
)


async def keep(tx: Transaction, events: Sequence[Kept]) -> None:
    """Put those events into the audit log that belong there. No rebuild of the views touches it."""
    rows: list[tuple[Any, ...]] = []
    for event in events:
        reader = _READERS.get(event.event_type)
        if reader is None:
            continue
        told = reader.decode(event.event_data)
        details = msgspec.json.encode({"before": told.before, "after": told.after}).decode()
        row = (event.message_id, event.time, told.by, told.action[:40], told.target[:200])
        rows.append((*row, told.reason[:500] if told.reason else None, details))
    if rows:
        await tx.write_many(_INSERT, rows)
        log.info("audit.kept", entries=len(rows))
