"""The audit log over HTTP: what the query and the payment service have written down, as one list."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from heapq import merge as heads
from typing import Annotated, Any, Literal

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from gateway.door.api import PageSize, problems
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN
from payment_svc import contracts as payment
from query_svc.dead_letters import contracts as query
from shared.errors import FieldError, Malformed

Keeper = Literal["query", "payment"]
"""Which service has written an entry down, in the transaction of what was done."""
_CURSOR = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Something that a person of the shop did: who, when, what, to what, and why.

    `id` is that of the `service` which keeps the entry. `details` are those of what was done about money.
    """

    id: int
    service: Keeper
    at: datetime
    by: int
    action: str
    target: str
    affected: int
    reason: str | None
    details: dict[str, Any] | None


class AuditPage(Struct, frozen=True, kw_only=True):
    """A page of the audit log, newest first; `next` continues after its last entry."""

    items: list[AuditEntry]
    next: str | None


@get(
    "/ops/audit",
    operation_id="list_audit",
    summary="What operators did",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_audit(
    request: ShopRequest,
    limit: PageSize = 50,
    after: Annotated[
        str | None, QueryParameter(max_length=40, description="Continue here: the `next` of a page.")
    ] = None,
    service: Annotated[
        Keeper | None, QueryParameter(description="Only what this service keeps: payment, all about money.")
    ] = None,
) -> AuditPage:
    """Who did what, when, to what, and why; newest first."""
    return await audit(request, limit, after, service)


async def audit(
    request: ShopRequest, limit: int, after: str | None, service: Keeper | None = None
) -> AuditPage:
    """A page of both logs by time, or of one. Raises `Malformed` for an `after` that no page gave."""
    seen = _read(after)
    queried, paid = await asyncio.gather(
        _of_query(request, limit, seen[0], wanted=service != "payment"),
        _of_payment(request, limit, seen[1], wanted=service != "query"),
    )
    return merge(queried, paid, limit, seen)


Log = tuple[Sequence[AuditEntry], bool]
"""The next entries of one log, and whether there are more."""
Seen = tuple[int | None, int | None]
"""The last entry that was shown of each log."""


async def _of_query(request: ShopRequest, limit: int, after: int | None, *, wanted: bool) -> Log:
    if not wanted:
        return [], False
    page = await request.rpc.call(query.ListAudit(limit=limit, after=after))
    return [
        AuditEntry(
            id=one.id,
            service="query",
            at=one.at,
            by=one.by,
            action=one.action,
            target=one.target,
            affected=one.affected,
            reason=one.reason,
            details=None,
        )
        for one in page.items
    ], page.next is not None


async def _of_payment(request: ShopRequest, limit: int, after: int | None, *, wanted: bool) -> Log:
    if not wanted:
        return [], False
    page = await request.rpc.call(payment.ListAudit(limit=limit, after=after))
    return [
        AuditEntry(
            id=one.id,
            service="payment",
            at=one.at,
            by=one.by,
            action=one.action,
            target=f"{'user' if one.action == 'points.granted' else 'payment'} {one.subject}",
            affected=1,
            reason=reason if isinstance(reason := one.details.get("reason"), str) else None,
            details=one.details,
        )
        for one in page.items
    ], page.next is not None


def merge(queried: Log, paid: Log, limit: int, seen: Seen) -> AuditPage:
    """The newest of both logs as one page. Each is in order by itself, so a page takes the heads of both."""
    found = list(heads(queried[0], paid[0], key=lambda entry: entry.at, reverse=True))
    page = found[:limit]
    last = {entry.service: entry.id for entry in page}
    more = len(found) > limit or queried[1] or paid[1]
    cursor = f"{last.get('query', seen[0]) or ''}-{last.get('payment', seen[1]) or ''}"
    return AuditPage(items=page, next=cursor if more else None)


def _read(cursor: str | None) -> Seen:
    if cursor is None:
        return None, None
    found = _CURSOR.fullmatch(cursor)
    if found is None or cursor == "-":
        error = FieldError(field="after", message="Expected the `next` of a page, such as 17-4")
        raise Malformed("A query parameter cannot be read.", errors=[error])
    queried, paid = (int(number) if number else None for number in found.groups())
    return queried or None, paid or None


routes = [list_audit]
