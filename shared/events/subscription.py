"""A consumer's queue: what comes from it, decoded, and where what fails is put.

What fails leaves over the connection for publishing: a broker that is short of memory reads no connection
that has published on it, and the acknowledgements must go on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

from shared import metrics
from shared.broker import Address, Channel, Message, NotConfirmed, Properties, Unroutable, table, topology
from shared.broker.headers import OCTETS, WHY, unreadable
from shared.broker.identity import PUBLISHED_BY, STRANGER, Origin, identify, origin
from shared.clock import utc_now
from shared.database.transaction import Cause
from shared.errors import describe
from shared.events import cloudevents
from shared.events.cloudevents import CloudEvent, Undecoded
from shared.ids import new_text_id
from shared.logs import log
from shared.messages import service_of
from shared.registry import Hearing

PREFETCH = 32
"""How many messages a replica holds before the next one gets any. Under load each is a list by itself."""
PREFETCH_ALL = 128
"""The same for who hears everything: after an absence, when messages are full, still few megabytes."""
PUBLISH_AGAIN_SECONDS = 0.5
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What bytes that are no message of ours make the decoder raise: bad JSON, bad UTF-8, JSON too deep."""
POISON_DELIVERIES = 2
REDRIVES_HEADER = "x-redrives"
"""How often a person has sent this event back from the dead letters; it stays with it through retries."""
SHORT_BYTES = 255
"""How long a text may be among a message's AMQP properties."""

Publish = Callable[[Address, Properties, bytes], Awaitable[None]]
"""Publishes a message on the connection for publishing, and waits until the broker has it."""


class Received(msgspec.Struct, frozen=True):
    """One event as it arrived: decoded, and as the JSON it came in."""

    event: CloudEvent[Any]
    raw: bytes

    @property
    def cause(self) -> Cause:
        """This event as what the work in hand was started by."""
        return Cause(self.event.id, self.event.correlationid, self.event.traceparent)


class GivenUp(NamedTuple):
    """A part of a message, or all of it, that nobody will handle: a dead letter, with the reason in words."""

    raw: bytes
    exception: str
    why: str


class Delivery:
    """One AMQP message: the events in it that can be read, and what has to be given up."""

    def __init__(self, message: Message, source: "Subscription") -> None:
        self.message = message
        self.source = source
        self.attempt = _number(message.headers.get("x-attempt"))
        self.delivery_count = _number(message.headers.get("x-delivery-count"))
        self.may_be_poison = self.delivery_count >= POISON_DELIVERIES or bool(message.headers.get("x-alone"))
        """Whether something in it may have killed the process that had it before."""
        self.events: list[Received] = []
        self.given_up: list[GivenUp] = []
        if (why := unreadable(message.headers)) is not None:
            self._give_up(message.body, f"its properties cannot be read: {why}")
            return
        if (stranger := source.stranger(message)) is not None:
            self.given_up.append(GivenUp(message.body, STRANGER, stranger))
            return
        try:
            raws = cloudevents.split(message.body)
        except UNREADABLE as error:
            self._give_up(message.body, f"not a CloudEvents batch: {error}")
            return
        for raw in raws:
            try:
                self.events.append(source.read(raw))
            except UNREADABLE as error:
                # Still a batch, so that it can be sent back as it is once whoever could not read it can.
                self._give_up(cloudevents.batch([raw]), str(error))

    def _give_up(self, raw: bytes, why: str) -> None:
        self.given_up.append(GivenUp(raw, "Unreadable", why))


class Subscription:
    """One queue of a service, consumed on a channel of its own."""

    def __init__(
        self,
        service: str,
        process: str,
        hearing: Hearing,
        publish: Publish,
        *,
        retry_delays: tuple[float, ...],
        instance: int,
    ) -> None:
        self.event = hearing.heard
        self.queue_name = topology.queue_name(service, self.event)
        self._service = service
        self._process = process
        self._view = hearing.view
        self._send = publish
        self._prefetch = PREFETCH_ALL if hearing.view is None else PREFETCH
        # The broker gives all it has to the first replica that can take more, and what is too much for it to
        # the next: spread over all of them, lists would be short, and short lists are dear (docs/adr/0013).
        self._priority = -instance
        self._retry_delays = retry_delays
        kind = Undecoded if hearing.view is None else CloudEvent[hearing.view]
        self._decoder: msgspec.json.Decoder[CloudEvent[Any]] = msgspec.json.Decoder(kind)
        self._channel: Channel | None = None
        self._origin: Origin | None = None
        self._tag = f"{process} {self.event}"

    # On the link -----------------------------------------------------------------------------------------

    async def set_up(self, connection: AbstractConnection, take: Callable[[Delivery], None]) -> None:
        """Start to consume the queue: each delivery is given to `take`.

        It is declared first, with what belongs to it, unless only `shared.declare` may do that.
        """
        us = identify(connection, self._process)
        self._origin = origin(us, self._service, service_of(self.event))
        if not us.is_own:
            for delay in self._retry_delays:
                await self._declare(connection, topology.retry_queue(self._service, delay))
            for queue in topology.event_queues(self._service, self.event):
                await self._declare(connection, queue)
        self._channel = await Channel.open(connection, prefetch=self._prefetch)
        await self._channel.consume(
            self.queue_name,
            self._tag,
            lambda message: take(Delivery(message, self)),
            priority=self._priority,
        )

    async def _declare(self, connection: AbstractConnection, queue: topology.Queue) -> None:
        """Declare a queue, or take it as it is if another release declared it otherwise.

        It is made anew by `shared.declare`, when nobody consumes it; until then the others must not suffer.
        """
        channel = await connection.channel()
        try:
            await topology.declare(channel, queue)
        except ChannelPreconditionFailed as error:
            log.warning("queue.differs", queue=queue.name, see="./just migrate", **describe(error))
            channel = await connection.channel()
            if queue.binding is not None:
                as_it_is = await channel.get_queue(queue.name, ensure=False)
                await topology.bind(channel, as_it_is, queue.binding)
        await channel.close()

    def tear_down(self) -> None:
        """The channel is gone, and with it what was not acknowledged: it will come again."""
        if self._channel is not None:
            self._channel.give_up()
        self._channel = None

    async def cancel(self, seconds: float) -> None:
        """Take nothing more; what is unacknowledged goes back to the queue with the channel."""
        if self._channel is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._channel.cancel(self._tag)
        except Exception as error:  # a broken channel has no consumer left to cancel
            log.debug("consumer.cancel_failed", queue=self.queue_name, **describe(error))

    async def flush(self, seconds: float) -> None:
        """Wait until the acknowledgements are on their way, or the broker gives out again what is done."""
        if self._channel is not None:
            await self._channel.flush(seconds)

    # Reading ---------------------------------------------------------------------------------------------

    def stranger(self, message: Message) -> str | None:
        """What is wrong with who sent a message, in words; None if it comes from where it has to."""
        if self._origin is None or not self._origin.is_strange(message.properties):
            return None
        metrics.STRANGERS.labels(self.queue_name).inc()
        said = self._origin.publisher_of(message.properties)
        return f"it was published by {said or 'nobody'}, not by {self._origin.publisher}; nobody has read it"

    def read(self, raw: bytes) -> Received:
        """One event. Raises one of `UNREADABLE` for what is none, or none of those that this queue takes."""
        event = self._decoder.decode(raw)
        if self._view is not None and event.type != self.event:
            raise msgspec.ValidationError(f"type is {event.type!r}, this queue takes {self.event!r}")
        return Received(event, raw)

    def message(self, one: Received) -> Any:
        """What the handler is given: an event's data, or the whole event where it has no view of it."""
        return one.event if self._view is None else one.event.data

    # Failing ---------------------------------------------------------------------------------------------

    async def try_later(self, delivery: Delivery, one: Received, error: Exception) -> None:
        """Publish the event alone to the next retry queue, or to the dead letters after the last."""
        attempt = delivery.attempt + 1
        if attempt > len(self._retry_delays):
            await self.dead_letter(delivery, one.raw, type(error).__name__, str(error), one)
            return
        delay = self._retry_delays[attempt - 1]
        log.warning(
            "consumer.retries",
            queue=self.queue_name,
            event_id=one.event.id,
            correlation_id=one.event.correlationid,
            attempt=attempt,
            delay=delay,
            exc_info=error,
        )
        metrics.EVENTS_HANDLED.labels(self.event, "retried").inc()
        retry = Address(topology.retry_name(self._service, delay), self.queue_name, mandatory=True)
        await self._publish(retry, delivery, one.raw, one, {"x-attempt": attempt})

    async def hold_back(self, delivery: Delivery, one: Received) -> None:
        """Publish the event alone to the first retry queue: it comes again, with no attempt used up."""
        metrics.EVENTS_HANDLED.labels(self.event, "held_back").inc()
        delay = min(self._retry_delays)
        again = Address(topology.retry_name(self._service, delay), self.queue_name, mandatory=True)
        await self._publish(again, delivery, one.raw, one, {"x-attempt": delivery.attempt})

    async def dead_letter(
        self, delivery: Delivery, raw: bytes, exception: str, why: str, one: Received | None = None
    ) -> None:
        """Publish the event alone to the queue of dead letters, saying what was wrong with it."""
        log.error(
            "consumer.dead_letter",
            queue=self.queue_name,
            event_id=one.event.id if one else None,
            correlation_id=one.event.correlationid if one else None,
            error=exception,
            detail=why,
        )
        metrics.EVENTS_HANDLED.labels(self.event, "dead").inc()
        metrics.DEAD_LETTERS.labels(self.queue_name).inc()
        headers = {
            "x-attempt": delivery.attempt,
            "x-exception": exception,
            "x-exception-message": why[:1000].encode(errors="replace").decode(),
            "x-failed-at": utc_now().isoformat(),
            "x-service": self._process,
            "x-queue": self.queue_name,
        }
        dead = Address("", topology.dead_name(self.queue_name), mandatory=True)
        await self._publish(dead, delivery, raw, one, headers)

    async def split(self, delivery: Delivery) -> None:
        """Publish each event of a message again, alone, and acknowledge the message."""
        log.warning("consumer.takes_apart", queue=self.queue_name, events=len(delivery.events))
        for raw, exception, why in delivery.given_up:
            await self.dead_letter(delivery, raw, exception, why)
        for one in delivery.events:
            headers = {"x-attempt": delivery.attempt, "x-alone": 1}
            again = Address("", self.queue_name, mandatory=True)
            await self._publish(again, delivery, one.raw, one, headers)
        delivery.message.ack()

    async def _publish(
        self, address: Address, delivery: Delivery, raw: bytes, one: Received | None, headers: dict[str, Any]
    ) -> None:
        """Publish the event as a message of one, under its own id, and wait until the broker has it.

        While it takes no messages, this waits, and with it what is held here: given back, it would only come
        again, and count as a delivery.
        """
        original, told = delivery.message.properties, delivery.message.headers
        # What strangers wrote is copied as a plain value of a known kind, or not at all.
        redrives = _number(told.get(REDRIVES_HEADER))
        kept: dict[str, Any] = {REDRIVES_HEADER: redrives} if redrives else {}
        kept |= {name: str(told[name]) for name in (WHY, OCTETS) if name in told}
        if self._origin is not None:
            kept[PUBLISHED_BY] = self._origin.publisher_of(original)
        properties = Properties(
            message_id=(_short(one.event.id) if one else original.message_id) or new_text_id(),
            type=(_short(one.event.type) if one else original.message_type) or self.event,
            app_id=original.app_id or "",
            timestamp=original.timestamp or utc_now(),
            content_type=original.content_type or cloudevents.CONTENT_TYPE,
            headers=table({"x-count": 1, **kept, **headers}),
            is_persistent=True,
            correlation_id=_short(one.event.correlationid) if one else original.correlation_id,
        )
        body = cloudevents.batch([raw]) if one else raw
        waited = False
        while True:
            try:
                await self._send(address, properties, body)
                return
            except Unroutable:  # a queue was deleted under us: all of them are declared on a fresh link
                raise
            except (ConnectionError, NotConfirmed, TimeoutError) as error:
                level = log.debug if waited else log.warning
                level("consumer.waits_to_publish", queue=self.queue_name, **describe(error))
                waited = True
                await asyncio.sleep(PUBLISH_AGAIN_SECONDS)


def _number(header: Any) -> int:
    """A count as our own headers hold it; what is none counts as 0."""
    return header if type(header) is int and 0 <= header < 1 << 31 else 0


def _short(text: str | None) -> str | None:
    """At most as much of a foreign id as a property can hold: whoever made it too long must not stop us."""
    return text and text.encode(errors="replace")[:SHORT_BYTES].decode(errors="ignore")
