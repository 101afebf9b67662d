"""The flow map: who publishes what, who listens to it, and how much waits on the way. Pure."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.operators.directory import Known
from gateway.operators.management import Queue
from shared.broker import dead_name
from shared.messages import service_of
from shared.service.describe import Heard


class FlowNode(Struct, frozen=True, kw_only=True):
    """A service on the map. One that is not `present` is drawn as it was when it last answered."""

    service: str
    present: bool
    described: bool
    publishes: list[str]


class FlowEdge(Struct, frozen=True, kw_only=True):
    """An event on its way from its publisher to one listener.

    `event` ends in `.#` where a listener takes everything of a publisher. A tap has no queue and no figures.
    Figures are null where nobody could be asked; `dead` counts the letters that wait for a person.
    """

    event: str
    publisher: str
    consumer: str
    queue: str | None
    handler: str
    ready: int | None
    unacknowledged: int | None
    consumers: int | None
    publish_rate: float | None
    deliver_rate: float | None
    dead: int | None


class Flow(Struct, frozen=True, kw_only=True):
    """The map, as the registrations draw it. `queues_known` and `dead_known` tell which figures are there."""

    nodes: list[FlowNode]
    edges: list[FlowEdge]
    queues_known: bool
    dead_known: bool


def flow(services: Sequence[Known], queues: Sequence[Queue] | None, dead: Mapping[str, int] | None) -> Flow:
    """Draw the map of `services`, with the depths of `queues` and the `dead` letters by queue if known."""
    figures = {queue.name: queue for queue in queues} if queues is not None else {}
    edges: list[FlowEdge] = []
    for known in services:
        if known.registrations is not None:
            heard = [*known.registrations.hears, *known.registrations.taps]
            edges += [_edge(known.service, one, figures, dead) for one in heard]
    nodes = [
        FlowNode(
            service=known.service,
            present=known.present,
            described=known.registrations is not None,
            publishes=[one.event for one in known.registrations.publishes] if known.registrations else [],
        )
        for known in services
    ]
    return Flow(
        nodes=nodes,
        edges=sorted(edges, key=lambda edge: (edge.publisher, edge.event, edge.consumer)),
        queues_known=queues is not None,
        dead_known=dead is not None,
    )


def _edge(
    consumer: str, heard: Heard, figures: Mapping[str, Queue], dead: Mapping[str, int] | None
) -> FlowEdge:
    queue = figures.get(heard.queue or "")
    return FlowEdge(
        event=heard.event,
        publisher=service_of(heard.event),
        consumer=consumer,
        queue=heard.queue,
        handler=heard.handler,
        ready=queue.ready if queue else None,
        unacknowledged=queue.unacknowledged if queue else None,
        consumers=queue.consumers if queue else None,
        publish_rate=queue.publish_rate if queue else None,
        deliver_rate=queue.deliver_rate if queue else None,
        dead=_dead(heard.queue, figures, dead),
    )


def _dead(queue: str | None, figures: Mapping[str, Queue], dead: Mapping[str, int] | None) -> int | None:
    """The letters in the table, and those that have not been fetched from their queue yet."""
    if queue is None or dead is None:
        return None
    unfetched = figures.get(dead_name(queue))
    return dead.get(queue, 0) + (unfetched.ready + unfetched.unacknowledged if unfetched else 0)
