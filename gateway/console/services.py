"""The services: what runs, whether it can do its work, how far behind it is, and who tells whom what."""

import asyncio
from collections.abc import Sequence

from litestar import Response, get
from litestar.response import Stream
from msgspec import Struct
from msgspec.structs import replace

from gateway.console import pages
from gateway.console.filters import takes
from gateway.console.flow_map import draw
from gateway.console.gathering import Missing, lag, or_missing
from gateway.console.queues import QueueRow, rows
from gateway.console.requests import ConsoleRequest
from gateway.docs.asyncapi_page import POLICY, render, whole
from gateway.door.roles import ADMIN
from gateway.operators.directory import directory
from gateway.operators.management import management
from gateway.operators.ops import ServiceCard, ServiceOutbox, live_flow, outboxes, service_card
from shared.service.describe import Process

LOOK_AGAIN_S = 2.0
MIB = 2**20


class Behind(Struct, frozen=True):
    """How much a service still has to do: messages in its queues, events in its outbox; null if unknown."""

    queued: int | None
    unpublished: int | None


def behind(service: str, queues: Sequence[QueueRow] | None, boxes: Sequence[ServiceOutbox]) -> Behind:
    """What waits for a service, and in it."""
    queued = (
        None
        if queues is None
        else sum(row.ready + row.unacknowledged for row in queues if row.owner == service)
    )
    statuses = [box.status for box in boxes if box.service == service]
    return Behind(queued, next((status.pending for status in statuses if status), None))


@get("/services", opt=ADMIN | takes())
async def show_services(request: ConsoleRequest) -> Response[str] | Stream:
    """A card for each service."""

    async def load() -> pages.Facts:
        found, queues, boxes, heard = await asyncio.gather(
            directory(request).replicas(),
            or_missing(management(request).queues()),
            outboxes(request),
            lag(request),
        )
        waiting = None if isinstance(queues, Missing) else rows(queues, {})
        cards = [_calm(service_card(one)) for one in found]
        return {
            "cards": cards,
            "behind": {card.service: behind(card.service, waiting, boxes) for card in cards},
            "lag": heard,
        }

    return await pages.live_page(request, "services.html", load, look_again_s=LOOK_AGAIN_S)


def _calm(card: ServiceCard) -> ServiceCard:
    """Without what changes at every look and tells nothing new."""
    return replace(card, seen_at=None, replicas=[_rounded(process) for process in card.replicas])


def _rounded(process: Process) -> Process:
    memory = process.memory_bytes
    return replace(process, memory_bytes=None if memory is None else round(memory / MIB) * MIB)


@get("/flow", opt=ADMIN | takes())
async def show_flow(request: ConsoleRequest) -> Response[str] | Stream:
    """The map of services and events, with what waits on each way."""

    async def load() -> pages.Facts:
        found = await live_flow(request)
        return {"flow": found, "picture": draw(found)}

    return await pages.live_page(request, "flow.html", load, look_again_s=LOOK_AGAIN_S)


@get("/asyncapi", opt=ADMIN)
async def show_messages(request: ConsoleRequest) -> Response[str]:
    """All messages of the shop, with who hears them, and the calls of services alone."""
    return pages.page_of_its_own(request, render(await whole(request)), POLICY)


routes = [show_services, show_flow, show_messages]
