"""What operators see of the shop: services, queues, outboxes, overdue orders, and the map of all of it."""

import asyncio
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.door.api import BODY, PageSize, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import ADMIN, SUPPORT
from gateway.operators.directory import Directory, Replicas, directory
from gateway.operators.flow import Flow, flow
from gateway.operators.management import Queue, management
from order_svc.contracts import ListOverdue, OverduePage
from query_svc.dead_letters.contracts import CountDeadLetters, RecordAction
from shared.errors import FieldError, NotFound, Problem, RuleBroken, Unavailable
from shared.ids import new_id
from shared.service.describe import (
    Heard,
    OutboxStatus,
    ParkedPage,
    Process,
    SentAgain,
    outbox_call,
    parked_call,
    publish_outbox_call,
    send_parked_call,
)

Name = Annotated[str | None, QueryParameter(min_length=1, max_length=255)]


class Listening(Struct, frozen=True, kw_only=True):
    """An event that a service hears, and from which queue; a tap has none."""

    event: str
    queue: str | None
    handler: str
    batch: int


class ServiceCard(Struct, frozen=True, kw_only=True):
    """A service: whether it answers, its replicas, and what it is made of (as it said when last seen).

    Replicas are those with an address of their own; of the gateway only the process that answers.
    """

    service: str
    present: bool
    ready: bool
    seen_at: datetime | None
    version: str | None
    replicas: list[Process]
    publishes: list[str]
    hears: list[Listening]
    answers: list[str]
    jobs: list[str]


class ServiceCards(Struct, frozen=True, kw_only=True):
    """All services."""

    items: list[ServiceCard]
    next: None


class QueuePage(Struct, frozen=True, kw_only=True):
    """A page of queues by name."""

    items: list[Queue]
    next: str | None


class ServiceOutbox(Struct, frozen=True, kw_only=True):
    """The outbox of a service; without figures if the service is away."""

    service: str
    present: bool
    status: OutboxStatus | None


class ParkedSelection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parked messages: some by `ids`, or `all` of them. Exactly one of the two."""

    ids: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=36)]], Meta(min_length=1, max_length=1000)
        ]
        | UnsetType
    ) = UNSET
    all: Literal[True] | UnsetType = UNSET


class Outboxes(Struct, frozen=True, kw_only=True):
    """The outboxes of all services that have one."""

    items: list[ServiceOutbox]
    next: None


# The shop ------------------------------------------------------------------------------------------------


@get(
    "/ops/services",
    operation_id="list_services",
    summary="The services",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_services(request: ShopRequest) -> ServiceCards:
    """Every service: version, replicas, readiness, events published and consumed, calls, jobs."""
    found = await directory(request).replicas()
    return ServiceCards(items=[service_card(one) for one in found], next=None)


@get(
    "/ops/queues",
    operation_id="list_queues",
    summary="The broker's queues",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_queues(
    request: ShopRequest,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="How many at most.")] = 200,
    after: Name = None,
) -> QueuePage:
    """Length, consumers and rates of each queue, by name. 503 if the management API is down or not set."""
    found = [queue for queue in await management(request).queues() if queue.name > (after or "")]
    page = found[:limit]
    return QueuePage(items=page, next=page[-1].name if len(found) > limit else None)


@get(
    "/ops/flow",
    operation_id="get_flow",
    summary="Who publishes what to whom",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def get_flow(request: ShopRequest) -> Flow:
    """The map of services and events, derived from the registrations, with the queue length on every edge."""
    return await live_flow(request)


# Outboxes ------------------------------------------------------------------------------------------------


@get(
    "/ops/outbox",
    operation_id="list_outboxes",
    summary="The outboxes",
    opt=ADMIN,
    responses=problems(400, 401, 403),
)
async def list_outboxes(request: ShopRequest) -> Outboxes:
    """How many messages wait in the outbox of each service, and how long the oldest has waited."""
    return Outboxes(items=await outboxes(request), next=None)


@post(
    "/ops/outbox/{service:str}/publish",
    operation_id="publish_outbox",
    summary="Publish an outbox now",
    opt=ADMIN,
    status_code=200,
    responses=problems(400, 401, 403, 404, 409, 422),
)
async def publish_outbox(
    request: ShopRequest, service: FromPath[str], idempotency_key: IdempotencyKey = None
) -> OutboxStatus:
    """Publish what waits in the outbox of a service without waiting for its grace time. It is audited."""
    _refuse_unknown(request, service)
    key = once(request, idempotency_key, service)
    action = RecordAction(
        request_id=new_id(), by=request.user.id, action="publish outbox", target=f"outbox of {service}"
    )
    await request.rpc.call(action, once=key)
    return await request.rpc.call(publish_outbox_call(service)(), once=key)


@get(
    "/ops/outbox/{service:str}/parked",
    operation_id="list_parked",
    summary="Messages that could not be sent",
    opt=ADMIN,
    responses=problems(400, 401, 403, 404),
)
async def list_parked(
    request: ShopRequest,
    service: FromPath[str],
    limit: PageSize = 50,
    after: Annotated[
        str | None, QueryParameter(min_length=1, max_length=36, description="Continue after this message.")
    ] = None,
) -> ParkedPage:
    """Messages in the outbox of a service that could not be sent and wait for a person, oldest first."""
    _refuse_unknown(request, service)
    return await request.rpc.call(parked_call(service)(limit=limit, after=after or ""))


@post(
    "/ops/outbox/{service:str}/parked/send",
    operation_id="send_parked",
    summary="Send parked messages again",
    opt=ADMIN,
    status_code=202,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def send_parked(
    request: ShopRequest,
    service: FromPath[str],
    data: JSONBody[ParkedSelection],
    idempotency_key: IdempotencyKey = None,
) -> SentAgain:
    """Try parked messages again, some by `ids` or `all` of them. It is audited."""
    _refuse_unknown(request, service)
    if (data.ids is UNSET) == (data.all is UNSET):
        said = "none is given" if data.ids is UNSET else "ids and all are given"
        raise RuleBroken(
            "Say which messages by exactly one of ids, all.",
            errors=[FieldError(field="ids", message=f"{said}; expected exactly one")],
        )
    ids = None if data.ids is UNSET else data.ids
    key = once(request, idempotency_key, service, data)
    which = "all" if ids is None else ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if ids[3:] else "")
    action = RecordAction(
        request_id=new_id(), by=request.user.id, action="send parked", target=f"outbox of {service}: {which}"
    )
    await request.rpc.call(action, once=key)
    return await request.rpc.call(send_parked_call(service)(ids=ids), once=key)


# Orders --------------------------------------------------------------------------------------------------


@get(
    "/ops/orders/overdue",
    operation_id="list_overdue_orders",
    summary="Overdue orders",
    opt=SUPPORT,
    responses=problems(400, 401, 403),
)
async def list_overdue_orders(
    request: ShopRequest,
    limit: PageSize = 50,
    after: Annotated[UUID | None, QueryParameter(description="Continue after this order.")] = None,
) -> OverduePage:
    """Orders past their deadline, oldest first, each with what it waits for."""
    return await request.rpc.call(ListOverdue(limit=limit, after=after))


# What the console shows too ------------------------------------------------------------------------------


def service_card(one: Replicas) -> ServiceCard:
    """A service as operators see it."""
    made_of, processes = one.known.registrations, one.processes
    return ServiceCard(
        service=one.known.service,
        present=one.known.present or bool(processes),
        ready=bool(processes) and all(process.ready for process in processes),
        seen_at=one.known.seen_at,
        version=processes[0].version if processes else None,
        replicas=processes,
        publishes=[event.event for event in made_of.publishes] if made_of else [],
        hears=[_listening(heard) for heard in (*made_of.hears, *made_of.taps)] if made_of else [],
        answers=[answer.call for answer in made_of.answers] if made_of else [],
        jobs=[job.job for job in made_of.jobs] if made_of else [],
    )


async def outboxes(request: ShopRequest) -> list[ServiceOutbox]:
    """The outbox of every service that answers calls."""

    async def look(service: str) -> ServiceOutbox:
        try:
            status = await request.rpc.call(outbox_call(service)(), timeout=2)
        except Problem:  # whatever it is, its outbox cannot be looked at now
            return ServiceOutbox(service=service, present=False, status=None)
        return ServiceOutbox(service=service, present=True, status=status)

    known: Directory = directory(request)
    return list(await asyncio.gather(*(look(name) for name in known.services)))


def _refuse_unknown(request: ShopRequest, service: str) -> None:
    if service not in directory(request).services:
        names = ", ".join(directory(request).services)
        raise NotFound(f"There is no service {service!r} with an outbox; there are: {names}.")


async def live_flow(request: ShopRequest) -> Flow:
    """The map with the figures of this moment, as far as they can be had."""
    services, queues, dead = await asyncio.gather(directory(request).all(), _queues(request), _dead(request))
    return flow(services, queues, dead)


async def _queues(request: ShopRequest) -> list[Queue] | None:
    try:
        return await management(request).queues()
    except Unavailable:
        return None


async def _dead(request: ShopRequest) -> dict[str, int] | None:
    try:
        found = await request.rpc.call(CountDeadLetters())
    except Problem:
        return None
    return {one.queue: one.dead for one in found.queues}


def _listening(heard: Heard) -> Listening:
    return Listening(event=heard.event, queue=heard.queue, handler=heard.handler, batch=heard.batch)


routes = [
    list_services,
    list_queues,
    get_flow,
    list_outboxes,
    publish_outbox,
    list_parked,
    send_parked,
    list_overdue_orders,
]
