"""The audit log over HTTP: what the query and the payment service have written down, as one list."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from heapq import merge as heads
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from gateway.door.api import PageSize, parse_moment, problems
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN
from payment_svc import contracts as payment
from query_svc.dead_letters import contracts as query
from shared.errors import FieldError, Malformed

Since = Annotated[str | None, QueryParameter(name="from", description="Done then or later (ISO 8601).")]
Until = Annotated[str | None, QueryParameter(name="to", description="Done before then (ISO 8601).")]
Keeper = Literal["query", "payment"]
"""Which service has written an entry down, in the transaction of what was done."""
_CURSOR = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Something that a person of the shop did: who, when, what, to what, and why.

    `id` is that of the `service` which keeps the entry. `details` say what was changed: of what was done
    about money how, of all else the facts `before` and `after`.
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


class Wanted(Struct, frozen=True, kw_only=True):
    """Which entries are wanted: of one user, of one kind, about one thing, within a time."""

    by: int | None = None
    action: str | None = None
    about: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Wanted()


class AuditPage(Struct, frozen=True, kw_only=True):
    """A page of the audit log, newest first; `next` continues after its last entry."""

    items: list[AuditEntry]
    next: str | None


@get(
    "/ops/audit",
    operation_id="list_audit",
    summary="Who did what",
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
    by: Annotated[
        int | None, QueryParameter(ge=0, le=2**63 - 1, description="Only what this user did.")
    ] = None,
    action: Annotated[
        str | None, QueryParameter(min_length=1, max_length=40, description="Only this, as `cancel order`.")
    ] = None,
    about: Annotated[
        str | None,
        QueryParameter(min_length=1, max_length=200, description="Only to this `target`, as `item 7`."),
    ] = None,
    since: Since = None,
    until: Until = None,
) -> AuditPage:
    """Who did what, when, to what, and why, with what it changed; newest first.

    What was done about items, coupons, orders and users comes here by events, a moment after it was done.
    """
    wanted = Wanted(
        by=by,
        action=action,
        about=about,
        since=parse_moment("from", since),
        until=parse_moment("to", until),
    )
    return await audit(request, limit, after, service, wanted)


async def audit(
    request: ShopRequest,
    limit: int,
    after: str | None,
    service: Keeper | None = None,
    wanted: Wanted = EVERYTHING,
) -> AuditPage:
    """A page of both logs by time, or of one. Raises `Malformed` for an `after` that no page gave."""
    seen = _read(after)
    queried, paid = await asyncio.gather(
        _of_query(request, limit, seen[0], wanted if service != "payment" else None),
        _of_payment(request, limit, seen[1], wanted if service != "query" else None),
    )
    return merge(queried, paid, limit, seen)


Log = tuple[Sequence[AuditEntry], bool]
"""The next entries of one log, and whether there are more."""
Seen = tuple[int | None, int | None]
"""The last entry that was shown of each log."""


async def _of_query(request: ShopRequest, limit: int, after: int | None, wanted: Wanted | None) -> Log:
    if wanted is None:
        return [], False
    call = query.ListAudit(
        limit=limit,
        after=after,
        by=wanted.by,
        action=wanted.action,
        target=wanted.about,
        since=wanted.since,
        until=wanted.until,
    )
    page = await request.rpc.call(call)
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
            details=one.details,
        )
        for one in page.items
    ], page.next is not None


async def _of_payment(request: ShopRequest, limit: int, after: int | None, wanted: Wanted | None) -> Log:
    about = _about_money(wanted.about) if wanted else None
    if wanted is None or about is None:
        return [], False
    payment_id, user_id = about
    call = payment.ListAudit(
        limit=limit,
        after=after,
        by=wanted.by,
        action=wanted.action,
        payment_id=payment_id,
        user_id=user_id,
        since=wanted.since,
        until=wanted.until,
    )
    page = await request.rpc.call(call)
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


def _about_money(about: str | None) -> tuple[UUID | None, int | None] | None:
    """The payment or the user that this names, neither where it is nothing; None for what is no money's."""
    if about is None:
        return None, None
    kind, _, number = about.partition(" ")
    if kind == "user" and number.isascii() and number.isdigit() and len(number) < 19:
        return None, int(number)
    try:
        return (UUID(number), None) if kind == "payment" else None
    except ValueError:
        return None


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
