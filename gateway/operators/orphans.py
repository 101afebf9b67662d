"""Queues and bindings of ours that no registration names any more: found, and removed by an operator.

A handler that was renamed or given up leaves its queue behind, bound and filling. Only what is certain is
called an orphan: of a service that has not described itself since this process started, nothing is.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from litestar import delete, get
from litestar.params import QueryParameter
from msgspec import Struct

from gateway.door.api import problems
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN
from gateway.operators.directory import Known, directory
from gateway.operators.management import Bound, Management, Standing, management
from query_svc.dead_letters.contracts import RecordAction
from shared.broker import dead_name
from shared.errors import Conflict, NotFound
from shared.ids import new_id

Name = Annotated[str, QueryParameter(min_length=1, max_length=255)]
_EVENTS = ".events"


class Orphan(Struct, frozen=True, kw_only=True):
    """A queue that no service registers, with what is in it; or a binding of a queue that one does."""

    kind: Literal["queue", "binding"]
    queue: str
    exchange: str | None
    routing_key: str | None
    messages: int
    consumers: int


class Orphans(Struct, frozen=True, kw_only=True):
    """All orphans, and the services of which nothing is known, since they have not answered yet."""

    items: list[Orphan]
    undescribed: list[str]
    next: None


class Removal(Struct, frozen=True, kw_only=True):
    """Which orphan to remove: a queue, or with `exchange` and `routing_key` one of its bindings; and why.

    What is in a queue is lost with it: one that holds messages goes only `with_messages`.
    """

    queue: str
    reason: str
    exchange: str | None = None
    routing_key: str | None = None
    with_messages: bool = False


def orphans(services: Sequence[Known], queues: Sequence[Standing], bindings: Sequence[Bound]) -> list[Orphan]:
    """What stands at the broker and is ours, and no registration names. Pure."""
    described = {one.service: one.registrations for one in services if one.registrations is not None}
    undescribed = {one.service for one in services} - described.keys()
    heard = [heard for made_of in described.values() for heard in made_of.hears if heard.queue is not None]
    named = {name for one in heard for name in (one.queue or "", dead_name(one.queue or ""))}
    bound = {(one.exchange, _key(one.event), one.queue) for one in heard}
    from_us = {one.queue for one in bindings if one.exchange.endswith(_EVENTS)}
    found: list[Orphan] = []
    for queue in queues:
        owner = queue.name.partition(".")[0]
        is_ours = owner in described or queue.name.removesuffix(".dead") in from_us
        goes_by_itself = queue.exclusive or queue.auto_delete or queue.name.endswith(".aside")
        is_retry = owner in described and queue.name.startswith(f"{owner}.retry.")
        if not is_ours or owner in undescribed or goes_by_itself or is_retry or queue.name in named:
            continue
        found.append(_orphan("queue", queue.name, queue))
    standing = {queue.name: queue for queue in queues}
    for one in bindings:
        if one.exchange.endswith(_EVENTS) and one.queue in named and one.triple not in bound:
            found.append(_orphan("binding", one.queue, standing.get(one.queue), one))
    return sorted(found, key=lambda one: (one.queue, one.exchange or "", one.routing_key or ""))


@get(
    "/ops/orphans",
    operation_id="list_orphans",
    summary="Queues and bindings of nobody",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_orphans(request: ShopRequest) -> Orphans:
    """Queues and bindings that no registration names. 503 if the management API is down or not set."""
    return await found_orphans(request)


@delete(
    "/ops/orphans",
    operation_id="remove_orphan",
    summary="Remove a queue or binding of nobody",
    opt=ADMIN,
    status_code=204,
    responses=problems(400, 401, 403, 404, 409),
)
async def remove_orphan(
    request: ShopRequest,
    queue: Name,
    reason: Annotated[str, QueryParameter(min_length=3, max_length=500, description="Why.")],
    exchange: Annotated[str | None, QueryParameter(min_length=1, max_length=255)] = None,
    routing_key: Annotated[str | None, QueryParameter(max_length=255)] = None,
    with_messages: Annotated[bool, QueryParameter(description="Also if messages are lost with it.")] = False,
) -> None:
    """Remove one that `GET /ops/orphans` lists; with `exchange` and `routing_key` a binding. Audited."""
    wanted = Removal(
        queue=queue, exchange=exchange, routing_key=routing_key, reason=reason, with_messages=with_messages
    )
    orphan = await removable(request, wanted)
    await request.rpc.call(removing(new_id(), request.user.id, orphan, reason))
    await remove(request, orphan)


async def removable(request: ShopRequest, wanted: Removal) -> Orphan:
    """The orphan that is meant. Raises `NotFound` if it is none, `Conflict` if it must not simply go."""
    named = (wanted.queue, wanted.exchange, wanted.routing_key)
    found = await found_orphans(request)
    orphan = next((one for one in found.items if (one.queue, one.exchange, one.routing_key) == named), None)
    if orphan is None:
        raise NotFound("There is no such queue or binding that nobody registers.")
    if orphan.kind == "queue" and orphan.consumers:
        raise Conflict(f"{orphan.queue} is consumed by {orphan.consumers}: it is somebody's.")
    if orphan.kind == "queue" and orphan.messages and not wanted.with_messages:
        raise Conflict(
            f"{orphan.queue} holds {orphan.messages} messages, which would be lost: say `with_messages`."
        )
    return orphan


def removing(request_id: UUID, by: int, orphan: Orphan, reason: str) -> RecordAction:
    """What is written down before an orphan is removed."""
    target = f"{orphan.kind} {orphan.queue}"
    if orphan.exchange is not None:
        target += f" from {orphan.exchange} by {orphan.routing_key}"
    return RecordAction(
        request_id=request_id, by=by, action="remove orphan", target=target[:200], reason=reason
    )


async def remove(request: ShopRequest, orphan: Orphan) -> None:
    """Remove it."""
    door = management(request)
    if orphan.exchange is None:
        await door.delete_queue(orphan.queue)
    else:
        await door.unbind(orphan.exchange, orphan.queue, orphan.routing_key or "")


async def found_orphans(request: ShopRequest) -> Orphans:
    """What is found at this moment. Raises `Unavailable` without a management API."""
    door: Management = management(request)
    services, (queues, bindings) = await asyncio.gather(directory(request).all(), door.standing())
    return Orphans(
        items=orphans(services, queues, bindings),
        undescribed=[one.service for one in services if one.registrations is None],
        next=None,
    )


def _key(event: str) -> str:
    return "#" if event.endswith(".#") else event


def _orphan(
    kind: Literal["queue", "binding"], name: str, queue: Standing | None, bound: Bound | None = None
) -> Orphan:
    return Orphan(
        kind=kind,
        queue=name,
        exchange=bound.exchange if bound else None,
        routing_key=bound.routing_key if bound else None,
        messages=queue.messages if queue else 0,
        consumers=queue.consumers if queue else 0,
    )


routes = [list_orphans, remove_orphan]
