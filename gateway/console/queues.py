"""What waits to be published and what waits to be handled: outboxes and queues, and publishing at once."""

import asyncio
from collections.abc import Mapping, Sequence

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct

from gateway.console import pages
from gateway.console.acting import write_down
from gateway.console.filters import Query, takes
from gateway.console.forms import Form, fields
from gateway.console.gathering import Missing, or_missing
from gateway.console.requests import ConsoleRequest
from gateway.door.roles import ADMIN
from gateway.operators.directory import directory
from gateway.operators.management import Queue, management
from gateway.operators.ops import outboxes
from gateway.operators.orphans import Removal, found_orphans, removable, remove, removing
from query_svc.dead_letters.contracts import CountDeadLetters
from shared.broker import dead_name
from shared.errors import FieldError, NotFound, RuleBroken
from shared.service.describe import publish_outbox_call

STUCK_S = 30.0
"""A message that waits longer than this in an outbox waits for a person to look at."""


class QueueRow(Struct, frozen=True, kw_only=True):
    """A queue with the dead letters that it gave up on."""

    name: str
    owner: str
    ready: int
    unacknowledged: int
    consumers: int
    publish_rate: float
    deliver_rate: float
    dead: int

    @property
    def is_waiting(self) -> bool:
        """Whether anything in it is still to be done."""
        return bool(self.ready or self.unacknowledged or self.dead)

    @property
    def is_deserted(self) -> bool:
        """Whether messages wait in it and nobody takes them; in a retry queue it is time that takes them."""
        return bool(self.ready) and not self.consumers and ".retry." not in self.name


def rows(queues: Sequence[Queue], dead: Mapping[str, int]) -> list[QueueRow]:
    """The queues that events and calls go through, each with its dead letters.

    Queues of single processes come and go with them, and are left out.
    """
    unfetched = {queue.name: queue.ready + queue.unacknowledged for queue in queues}
    return [
        QueueRow(
            name=queue.name,
            owner=_owner(queue.name),
            ready=queue.ready,
            unacknowledged=queue.unacknowledged,
            consumers=queue.consumers,
            publish_rate=queue.publish_rate,
            deliver_rate=queue.deliver_rate,
            dead=dead.get(queue.name, 0) + unfetched.get(dead_name(queue.name), 0),
        )
        for queue in queues
        if "#" not in queue.name and not queue.name.endswith(".dead") and not queue.name.startswith("amq.")
    ]


def _owner(queue: str) -> str:
    """`item.order.placed` is item's, and so is `rpc.item`."""
    first, _, rest = queue.partition(".")
    return rest if first == "rpc" else first


@get("/queues", opt=ADMIN | takes("show"))
async def show_queues(request: ConsoleRequest) -> Response[str] | Stream:
    """Outboxes by service; queues that have something in them, or all."""
    query = Query(request)
    everything = query.one_of("show", ("busy", "all")) == "all"

    async def load() -> pages.Facts:
        boxes, queues, dead, lost = await asyncio.gather(
            outboxes(request),
            or_missing(management(request).queues()),
            or_missing(request.rpc.call(CountDeadLetters())),
            or_missing(found_orphans(request)),
        )
        counts = {} if isinstance(dead, Missing) else {one.queue: one.dead for one in dead.queues}
        found = [] if isinstance(queues, Missing) else rows(queues, counts)
        return {
            "boxes": boxes,
            "rows": [row for row in found if everything or row.is_waiting],
            "quiet": sum(not row.is_waiting for row in found),
            "orphans": [] if isinstance(lost, Missing) else lost.items,
            "no_queues": queues.detail if isinstance(queues, Missing) else None,
            "no_dead": dead.detail if isinstance(dead, Missing) else None,
        }

    return await pages.live_page(request, "queues.html", load, everything=everything, stuck_s=STUCK_S)


@post("/queues/{service:str}/publish", opt=ADMIN | fields(), status_code=200)
async def publish(request: ConsoleRequest, service: FromPath[str]) -> Response[str]:
    """Publish what waits in a service's outbox at once."""
    if service not in directory(request).services:
        raise NotFound("There is no such service.")
    await write_down(request, Form(request), "publish outbox", f"outbox of {service}")
    status = await request.rpc.call(publish_outbox_call(service)())
    said = f"{service} publishes what waits in its outbox: {status.pending:,} messages."
    return pages.see_other(request, "/console/queues", said=said)


@post(
    "/queues/orphans/remove",
    opt=ADMIN | fields("queue", "exchange", "routing_key", "with_messages", "reason"),
    status_code=200,
)
async def remove_orphan(request: ConsoleRequest) -> Response[str]:
    """Remove a queue or a binding that no registration names."""
    form = Form(request)
    queue, reason = form.text("queue"), form.text("reason")
    if queue is None or reason is None or not 3 <= len(reason) <= 500:
        raise RuleBroken(
            "Say which queue, and why.", errors=[FieldError("reason", "Expected 3 to 500 characters")]
        )
    removal = Removal(
        queue=queue,
        reason=reason,
        exchange=form.text("exchange"),
        routing_key=form.text("routing_key"),
        with_messages=form.text("with_messages") == "yes",
    )
    orphan = await removable(request, removal)
    await request.rpc.call(removing(form.request_id, request.user.id, orphan, reason))
    await remove(request, orphan)
    return pages.see_other(request, "/console/queues", said=f"The {orphan.kind} of {queue} is removed.")


routes = [show_queues, publish, remove_orphan]
