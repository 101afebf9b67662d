"""Exchanges and queues: what they are called, how they are declared, alike on RabbitMQ 3.10 and 4.x.

<service>.events            topic exchange of a publisher; routing key = event name
<consumer>.<event>          a consumer's queue, dead-lettering to <queue>.dead
<consumer>.<publisher>      the queue of a consumer that hears everything of a publisher
<service>.retry.<delay>     fanout exchange and queue; what lies there goes back to the queue it came from
rpc / rpc.<service>         direct exchange and queue of calls
rpc.<service>.dead          calls of those who may not make them
"""

from typing import Any, NamedTuple

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from shared.messages import service_of

Arguments = dict[str, Any]

RPC_EXCHANGE = "rpc"
REPLIES = "amq.rabbitmq.reply-to"
"""The broker's name for the channel that asks; to the one who answers it shows as that channel's address."""
DELIVERY_LIMIT = 1_000_000
"""How often a message may come back before the broker gives up on it.

Every return counts, that of a service whose database is away as well: so it is far above what any outage
brings about, and killers are told by our own count (`shared/events/suspects.py`). It is always said, since
4.x would take 20."""

_NEVER_LOST: Arguments = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


_FEW_KEPT: Arguments = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-overflow": "drop-head",
    "x-max-length": 1_000,
    "x-max-length-bytes": 16 * 1024 * 1024,
}


class Binding(NamedTuple):
    """What brings messages to a queue."""

    exchange: str
    kind: ExchangeType
    key: str


class Queue(NamedTuple):
    """A durable queue as it has to be."""

    name: str
    arguments: Arguments
    binding: Binding | None


def events_exchange(service: str) -> str:
    """The exchange that a service publishes its events to."""
    return f"{service}.events"


def queue_name(consumer: str, heard: str) -> str:
    """The queue in which a consumer hears an event (`item.order.placed`) or a publisher (`query.order`)."""
    return f"{consumer}.{heard}"


def binding_key(heard: str) -> str:
    """What brings the events to the queue: the event's name, or `#` for all of a publisher's."""
    return heard if heard != service_of(heard) else "#"


def taps_of(process: str) -> str:
    """How the names of a process's taps begin."""
    return f"{process}.tap."


def dead_name(queue: str) -> str:
    """Where a queue's dead letters lie."""
    return f"{queue}.dead"


def retries_of(service: str) -> str:
    """How the names begin of the exchanges and queues in which a service's failed events wait."""
    return f"{service}.retry."


def retry_name(service: str, delay: float) -> str:
    """The exchange and queue in which a service's failed events wait `delay` seconds."""
    return f"{retries_of(service)}{_readable(delay)}"


def strange_calls_queue(service: str) -> Queue:
    """Where the calls lie that a service was sent by somebody who may not make them: the newest of them."""
    return Queue(dead_name(rpc_queue(service)), _FEW_KEPT, None)


def rpc_queue(service: str) -> str:
    """The queue of calls to a service."""
    return f"rpc.{service}"


async def declare_events_exchange(channel: AbstractChannel, service: str) -> AbstractExchange:
    """The publisher's exchange; consumers declare it too, since nobody knows who starts first."""
    return await channel.declare_exchange(events_exchange(service), ExchangeType.TOPIC, durable=True)


def event_queues(consumer: str, heard: str) -> tuple[Queue, Queue]:
    """A consumer's queue for one event or one publisher, and first the queue of its dead letters."""
    name = queue_name(consumer, heard)
    dead = dead_name(name)
    # One that comes back too often even here goes to where it came from, which the broker does not do in a
    # circle: it keeps such a message, and would throw it away if there were nowhere to send it.
    last = Queue(dead, {**_NEVER_LOST, "x-dead-letter-routing-key": dead}, None)
    source = Binding(events_exchange(service_of(heard)), ExchangeType.TOPIC, binding_key(heard))
    return last, Queue(name, {**_NEVER_LOST, "x-dead-letter-routing-key": dead}, source)


def retry_queue(service: str, delay: float) -> Queue:
    """A queue in which a message rests for `delay` seconds.

    It is published to with the failing queue's name as routing key, which it keeps when its time is up: the
    default exchange then brings it back to that queue alone. One queue a delay, since only the head expires.
    """
    name = retry_name(service, delay)
    arguments = {**_NEVER_LOST, "x-message-ttl": int(delay * 1000)}
    return Queue(name, arguments, Binding(name, ExchangeType.FANOUT, name))


async def declare(channel: AbstractChannel, queue: Queue) -> AbstractQueue:
    """Declare a queue and what binds it. Raises `ChannelPreconditionFailed` if it is there and is another;
    the channel is gone then."""
    declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
    if queue.binding is not None:
        await bind(channel, declared, queue.binding)
    return declared


async def declare_event_queue(channel: AbstractChannel, consumer: str, heard: str) -> AbstractQueue:
    """A consumer's queue for one event or one publisher, bound to it, with the queue of its dead letters."""
    dead, queue = event_queues(consumer, heard)
    await declare(channel, dead)
    return await declare(channel, queue)


async def bind(channel: AbstractChannel, queue: AbstractQueue, binding: Binding) -> None:
    """Bind a queue, to an exchange that is declared if need be: nobody knows who starts first."""
    exchange = await channel.declare_exchange(binding.exchange, binding.kind, durable=True)
    await queue.bind(exchange, routing_key=binding.key)


async def declare_rpc_exchange(channel: AbstractChannel) -> AbstractExchange:
    """The exchange of all calls."""
    return await channel.declare_exchange(RPC_EXCHANGE, ExchangeType.DIRECT, durable=True)


async def declare_rpc_queue(channel: AbstractChannel, service: str) -> AbstractQueue:
    """The queue of calls to a service. It goes when its last consumer goes, so that calls to a service that
    is down come back unroutable at once instead of running into their deadline."""
    queue = await channel.declare_queue(rpc_queue(service), durable=True, auto_delete=True)
    await queue.bind(RPC_EXCHANGE, routing_key=service)
    return queue


def _readable(delay: float) -> str:
    if delay >= 60 and delay % 60 == 0:
        return f"{int(delay // 60)}min"
    return f"{delay:g}s" if delay >= 1 else f"{round(delay * 1000)}ms"
