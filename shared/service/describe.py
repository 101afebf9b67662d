"""What a service says of itself: what it publishes, hears, answers and repeats, and how its outbox stands.

Every service that answers calls answers these too, without a line of its own: `order.describe`,
`order.outbox`, `order.publish_outbox`, `order.parked` and `order.send_parked`. AsyncAPI, the flow map and the
operators' pages are made of them.
"""

import os
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import cache
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shared.broker import topology
from shared.database.queries import page
from shared.events.outbox import Outbox, OutboxStatus, ParkedMessage
from shared.messages import Call, reply_type, service_of
from shared.registry import Answer, Handler, Hearing, Rank, Tap
from shared.service.service import Service

ROOT = Path(__file__).resolve().parents[2]


class Published(Struct, frozen=True, kw_only=True):
    """An event that a service publishes; `schema` is the JSON schema of its data."""

    event: str
    exchange: str
    subject: str
    about: str
    schema: dict[str, Any]


class Heard(Struct, frozen=True, kw_only=True):
    """An event that a service hears: from which queue, by which handler, in lists of how many.

    `event` ends in `.#` where one queue takes everything of a publisher. `reads` are JSON schemas of what is
    read in the data, by event. A tap has no queue that outlives its process, and promises nothing.
    """

    event: str
    exchange: str
    queue: str | None
    handler: str
    batch: int
    once: bool
    about: str
    reads: dict[str, dict[str, Any]]


class Answered(Struct, frozen=True, kw_only=True):
    """A call that a service answers; `request` and `reply` are JSON schemas."""

    call: str
    handler: str
    batch: int
    idempotent: bool
    about: str
    request: dict[str, Any]
    reply: dict[str, Any]


class Repeated(Struct, frozen=True, kw_only=True):
    """Something that a service does again and again, `seconds` after its last end."""

    job: str
    seconds: float
    about: str


class Registrations(Struct, frozen=True, kw_only=True):
    """What a service is made of. Schemas refer to each other as `#/components/schemas/<service>.<name>`."""

    service: str
    publishes: list[Published]
    hears: list[Heard]
    taps: list[Heard]
    answers: list[Answered]
    jobs: list[Repeated]
    schemas: dict[str, dict[str, Any]]


class Process(Struct, frozen=True, kw_only=True):
    """One replica: what runs, since when, and whether it can do its work, by named checks."""

    name: str
    replica: int
    version: str
    started_at: datetime
    ready: bool
    checks: dict[str, str]
    memory_bytes: int | None


class Description(Struct, frozen=True, kw_only=True):
    """A service, as one of its replicas describes it."""

    registrations: Registrations
    process: Process


@cache
def describe_call(service: str) -> type[Call[Description]]:
    """`<service>.describe`: what the service is made of, and how the replica that answers is."""

    class Describe(Call[Description], name=f"{service}.describe", idempotent=True):
        """Tell what you are made of, and how you are."""

    return Describe


@cache
def outbox_call(service: str) -> type[Call[OutboxStatus]]:
    """`<service>.outbox`: how many messages wait in its outbox, and for how long."""

    class GetOutbox(Call[OutboxStatus], name=f"{service}.outbox", idempotent=True):
        """Tell what waits in your outbox."""

    return GetOutbox


@cache
def publish_outbox_call(service: str) -> type[Call[OutboxStatus]]:
    """`<service>.publish_outbox`: publish what waits at once. `Unavailable` while the broker is away."""

    class PublishOutbox(Call[OutboxStatus], name=f"{service}.publish_outbox", idempotent=True):
        """Publish what waits in your outbox now, without waiting for its grace time to pass."""

    return PublishOutbox


class ParkedPage(Struct, frozen=True, kw_only=True):
    """A page of messages that could not be sent and wait for a person, the oldest first."""

    items: list[ParkedMessage]
    next: str | None


class SentAgain(Struct, frozen=True, kw_only=True):
    """How many parked messages are tried again."""

    sent: int


class ListParked(Call[ParkedPage]):
    """List the messages of your outbox that could not be sent."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: Annotated[str, Meta(max_length=36)] = ""


class SendParked(Call[SentAgain]):
    """Try parked messages again, as if for the first time: some, or without `ids` all."""

    ids: Annotated[list[str], Meta(max_length=1000)] | None = None


@cache
def parked_call(service: str) -> type[ListParked]:
    """`<service>.parked`: the messages of its outbox that could not be sent and wait for a person."""

    class ListParkedOf(ListParked, Call[ParkedPage], name=f"{service}.parked", idempotent=True):
        __doc__ = ListParked.__doc__

    return ListParkedOf


@cache
def send_parked_call(service: str) -> type[SendParked]:
    """`<service>.send_parked`: try parked messages again, some by id, or all."""

    class SendParkedOf(SendParked, Call[SentAgain], name=f"{service}.send_parked", idempotent=True):
        __doc__ = SendParked.__doc__

    return SendParkedOf


def platform_answers(
    service: Service, describe: Callable[[], Awaitable[Description]], outbox: Outbox | None
) -> tuple[Answer, ...]:
    """What the platform answers for a service that answers calls; nothing for one that answers none."""
    if not service.answers:
        return ()

    async def tell(_: Call[Description]) -> Description:
        return await describe()

    described = _answer(describe_call(service.name), tell)
    if outbox is None:
        return (described,)

    async def tell_outbox(_: Call[OutboxStatus]) -> OutboxStatus:
        return await outbox.status()

    async def publish_outbox(_: Call[OutboxStatus]) -> OutboxStatus:
        outbox.publish_now()
        return await outbox.status()

    async def list_parked(call: ListParked) -> ParkedPage:
        items, after = await page(
            call.limit, lambda most: outbox.parked_messages(call.after, most), lambda one: one.id
        )
        return ParkedPage(items=items, next=after)

    async def send_parked(call: SendParked) -> SentAgain:
        return SentAgain(sent=await outbox.send_again(call.ids))

    return (
        described,
        _answer(parked_call(service.name), list_parked),
        _answer(send_parked_call(service.name), send_parked),
        _answer(outbox_call(service.name), tell_outbox),
        _answer(publish_outbox_call(service.name), publish_outbox),
    )


def _answer(call: type[Call[Any]], handler: Handler) -> Answer:
    """Each service has calls of its own here, so no annotation can name them."""
    return Answer(call, handler, batch=1, reply=reply_type(call), rank=Rank.FIRST)


def registrations(service: Service) -> Registrations:
    """What a service is made of, as data."""
    kinds: list[Any] = [
        *service.publishes,
        *(view for one in service.hears for view in one.views),
        *(one.view for one in service.taps),
        *(one.call for one in service.answers),
        *(one.reply for one in service.answers),
    ]
    references, components = msgspec.json.schema_components(
        kinds, ref_template=f"#/components/schemas/{service.name}.{{name}}"
    )
    schemas = dict(zip(kinds, references, strict=True))
    return Registrations(
        service=service.name,
        publishes=[
            Published(
                event=event.wire_name,
                exchange=topology.events_exchange(service.name),
                subject=event.subject_field,
                about=_about(event),
                schema=schemas[event],
            )
            for event in service.publishes
        ],
        hears=[_heard(service.name, one, schemas) for one in service.hears],
        taps=[_tapped(one, schemas) for one in service.taps],
        answers=[
            Answered(
                call=one.call.wire_name,
                handler=_name(one.handler),
                batch=one.batch,
                idempotent=one.call.is_idempotent,
                about=_about(one.call),
                request=schemas[one.call],
                reply=schemas[one.reply],
            )
            for one in service.answers
        ],
        jobs=[Repeated(job=job.name, seconds=job.seconds, about=_about(job.handler)) for job in service.jobs],
        schemas={f"{service.name}.{name}": dict(schema) for name, schema in components.items()},
    )


def _heard(consumer: str, hearing: Hearing, schemas: Mapping[Any, dict[str, Any]]) -> Heard:
    publisher = service_of(hearing.heard)
    return Heard(
        event=hearing.heard if hearing.view is not None else f"{publisher}.#",
        exchange=topology.events_exchange(publisher),
        queue=topology.queue_name(consumer, hearing.heard),
        handler=_name(hearing.handler),
        batch=hearing.batch,
        once=hearing.once,
        about=_about(hearing.handler),
        reads={view.wire_name: schemas[view] for view in hearing.views},
    )


def _tapped(tap: Tap, schemas: Mapping[Any, dict[str, Any]]) -> Heard:
    event = tap.view.wire_name
    return Heard(
        event=event,
        exchange=topology.events_exchange(service_of(event)),
        queue=None,
        handler=_name(tap.handler),
        batch=1,
        once=False,
        about=_about(tap.handler),
        reads={event: schemas[tap.view]},
    )


@cache
def version() -> str:
    """Which version of the shop this is, as `pyproject.toml` says; `unknown` where that file is missing."""
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return "unknown"
    return str(project["project"]["version"])


def memory_bytes() -> int | None:
    """The resident memory of this process; None where the system does not tell it in Linux's way."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _name(handler: Handler | Callable[[Any], None]) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"


def _about(thing: Any) -> str:
    """The first paragraph of what is written about it, on one line."""
    return " ".join((getdoc(thing) or "").partition("\n\n")[0].split())
