"""The consumer of one queue: collects lists of events, runs them in one transaction, then acknowledges.

If a list fails it is run again one by one, and what fails alone goes alone to retry and dead letters. While
the database is away, what is held stays unacknowledged and no attempt is used up.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, DeliveryMode

from shared import cloudevents, crash, metrics, topology
from shared.clock import utc_now
from shared.cloudevents import CloudEvent, Undecoded
from shared.context import working_on
from shared.database import Cause, Database, DatabaseUnavailable, Transaction
from shared.errors import describe
from shared.gathering import Gathering
from shared.inbox import Inbox
from shared.logs import log
from shared.registry import Hearing

PREFETCH_LISTS = 4
PROBE_SECONDS = 1.0
CONFIRM_SECONDS = 10.0
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What bytes that are no message of ours make the decoder raise: bad JSON, bad UTF-8, JSON too deep."""
SUSPECT_DELIVERIES = 2
SUSPECT_SECONDS = 0.2
"""How long suspects gather on a fresh link before one is drawn, or it would always be the queue's first."""
REDRIVES_HEADER = "x-redrives"
"""How often a person has sent this event back from the dead letters; it stays with it through retries."""
SHORT_BYTES = 255
"""How long a text may be among a message's AMQP properties."""


class Received(msgspec.Struct, frozen=True):
    """One event as it arrived: decoded, and as the JSON it came in."""

    event: CloudEvent[Any]
    raw: bytes

    @property
    def cause(self) -> Cause:
        """This event as what the work in hand was started by."""
        return Cause(self.event.id, self.event.correlationid, self.event.traceparent)


class Delivery:
    """One AMQP message: the events in it that can be read, and those that cannot."""

    def __init__(
        self,
        message: AbstractIncomingMessage,
        decoder: msgspec.json.Decoder[CloudEvent[Any]],
        event: str | None,
    ) -> None:
        self.message = message
        self.attempt = _number(message.headers.get("x-attempt"))
        self.delivery_count = _number(message.headers.get("x-delivery-count"))
        self.is_suspect = self.delivery_count >= SUSPECT_DELIVERIES or bool(message.headers.get("x-alone"))
        """Whether something in it may have killed the process that had it before."""
        self.events: list[Received] = []
        self.unreadable: list[tuple[bytes, str]] = []
        try:
            raws = cloudevents.split(message.body)
        except UNREADABLE as error:
            self.unreadable.append((message.body, f"not a CloudEvents batch: {error}"))
            return
        for raw in raws:
            try:
                decoded = decoder.decode(raw)
                if event is not None and decoded.type != event:
                    raise msgspec.ValidationError(f"type is {decoded.type!r}, this queue takes {event!r}")
                self.events.append(Received(decoded, raw))
            except UNREADABLE as error:
                # Still a batch, so that it can be sent back as it is once whoever could not read it can.
                self.unreadable.append((cloudevents.batch([raw]), str(error)))


class Consumer:
    """Runs one handler on one queue. One list at a time, so that lists grow by themselves under load."""

    def __init__(
        self,
        service: str,
        process: str,
        hearing: Hearing,
        handle: Callable[..., Awaitable[Any]],
        database: Database,
        *,
        in_unit: bool,
        retry_delays: tuple[float, ...],
        linger_s: float,
        database_patience_s: float,
    ) -> None:
        self.event = hearing.heard
        self.queue_name = topology.queue_name(service, self.event)
        self.paused = False
        self.give_back: Callable[[], None] = lambda: None
        """Breaks the connection, so that what is held unacknowledged comes again."""
        self._service = service
        self._process = process
        self._hearing = hearing
        self._handle = handle
        self._database = database
        self._in_unit = in_unit
        self._inbox = Inbox(self.queue_name) if hearing.once else None
        self._retry_delays = retry_delays
        self._patience_s = database_patience_s
        kind = Undecoded if hearing.view is None else CloudEvent[hearing.view]
        self._decoder: msgspec.json.Decoder[CloudEvent[Any]] = msgspec.json.Decoder(kind)
        self._waiting: Gathering[Delivery] = Gathering(hearing.batch, linger_s)
        self._suspects: list[Delivery] = []
        self._suspect_next = False
        self._suspects_gathered = False
        self._arrived = asyncio.Event()
        self._stopping = False
        self._channel: AbstractChannel | None = None
        self._queue: Any = None
        self._tag = ""
        self._retries: dict[float, Any] = {}
        self._worker: asyncio.Task[None] | None = None
        self._busy = False

    # On the link -----------------------------------------------------------------------------------------

    async def set_up(self, connection: AbstractConnection) -> None:
        """Declare the queue and start to consume it, on a channel of its own."""
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel = channel
        # Who hears everything has a queue of large messages to come by after an absence; holding one list of
        # them keeps it small, and waiting for the next one matters to nobody.
        lists = 1 if self._hearing.view is None else PREFETCH_LISTS
        await channel.set_qos(prefetch_count=self._hearing.batch * lists)
        self._queue = await topology.declare_event_queue(channel, self._service, self.event)
        self._retries = {
            delay: await topology.declare_retry_queue(channel, self._service, delay)
            for delay in self._retry_delays
        }
        self._waiting.clear()
        self._suspects.clear()
        self._suspects_gathered = False
        self._stopping = False
        self._worker = asyncio.create_task(self._work(), name=f"consumer {self.queue_name}")
        self._tag = await self._queue.consume(self._take, consumer_tag=f"{self._process} {self.event}")

    async def tear_down(self) -> None:
        """The channel is gone, and with it what was not acknowledged: it will come again."""
        self._channel = None
        self._waiting.clear()
        self._suspects.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})
            self._worker = None

    async def drain(self, seconds: float) -> None:
        """Take nothing more, finish the list in hand; the rest goes back to the queue with the channel."""
        self._stopping = True
        if self._channel is not None and self._queue is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._queue.cancel(self._tag)
            except Exception as error:  # a broken channel has no consumer left to cancel
                log.debug("consumer.cancel_failed", queue=self.queue_name, **describe(error))
        self._arrived.set()
        if self._worker is not None and not self.paused:
            await asyncio.wait({self._worker}, timeout=seconds)

    # Collecting ------------------------------------------------------------------------------------------

    async def _take(self, message: AbstractIncomingMessage) -> None:
        """Only put it aside: what runs in the library's callback is torn apart when the channel closes."""
        delivery = Delivery(message, self._decoder, self._hearing.view and self.event)
        if delivery.is_suspect:
            self._suspects.append(delivery)
        else:
            self._waiting.put(delivery, len(delivery.events))
        self._arrived.set()

    async def _work(self) -> None:
        while not self._stopping:
            deliveries = await self._collect()
            if not deliveries:
                continue
            try:
                await self._settle(deliveries)
            except Exception as error:  # neither handled nor put off: unacknowledged, so it must come again
                log.info("consumer.given_back", queue=self.queue_name, **describe(error))
                self.give_back()
                return

    async def _collect(self) -> list[Delivery]:
        """What has arrived, up to a full list. Lingers only when the last list showed load.

        A suspect goes alone, in turns with the lists, and drawn at random: whatever was held beside a killer
        looks as suspect as it, and must not die of always coming after it.
        """
        if not self._waiting and not self._suspects:
            self._arrived.clear()
            await self._arrived.wait()
        if self._suspects and (self._suspect_next or not self._waiting):
            self._suspect_next = False
            if not self._suspects_gathered:
                self._suspects_gathered = True
                await asyncio.sleep(SUSPECT_SECONDS)
            return [self._suspects.pop(random.randrange(len(self._suspects)))]  # noqa: S311  no secret
        self._suspect_next = True
        return await self._waiting.take()

    # Handling --------------------------------------------------------------------------------------------

    async def _settle(self, deliveries: list[Delivery]) -> None:
        """Bring every event of these messages to an end: handled, waiting for a retry, or dead."""
        whole: list[Delivery] = []
        for delivery in deliveries:
            # Something in it killed the process twice: taken apart, each event can only harm itself.
            if delivery.is_suspect and len(delivery.events) > 1:
                await self._take_apart(delivery)
            else:
                whole.append(delivery)
        for delivery in whole:
            for raw, why in delivery.unreadable:
                await self._bury(delivery, raw, "Unreadable", why)
        received = [(delivery, one) for delivery in whole for one in delivery.events]
        started = time.perf_counter()
        step = self._hearing.batch
        for start in range(0, len(received), step):
            await self._handle_list(received[start : start + step])
        metrics.EVENT_LIST_SECONDS.labels(self.event).observe(time.perf_counter() - started)
        crash.here("consumer.before_ack")
        await asyncio.gather(*(delivery.message.ack() for delivery in whole))

    async def _handle_list(self, received: list[tuple[Delivery, Received]]) -> None:
        metrics.EVENT_LIST_SIZE.labels(self.event).observe(len(received))
        if len(received) > 1:
            try:
                await self._patiently([one for _, one in received])
                self._count(received)
                return
            except _GivenBack:
                raise
            except Exception as error:  # one of them is at fault: alone, each harms only itself
                log.info(
                    "consumer.list_apart", queue=self.queue_name, events=len(received), **describe(error)
                )
        for delivery, one in received:
            try:
                await self._patiently([one])
                self._count([(delivery, one)])
            except Exception as error:  # whatever a handler raises goes to retry, then to the dead letters
                await self._try_later(delivery, one, error)

    async def _patiently(self, received: list[Received]) -> None:
        """Run the handler; while the database is away, hold on and probe."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                await self._run(received)
                return
            except DatabaseUnavailable as error:
                if not self.paused:
                    log.warning("consumer.paused", queue=self.queue_name, **describe(error))
                self.paused = True
                try:
                    while True:
                        if self._stopping or time.monotonic() > deadline:
                            raise _GivenBack(
                                "the database is away; the messages go back to the queue"
                            ) from error
                        await asyncio.sleep(PROBE_SECONDS)
                        try:
                            await self._database.ping()
                            break
                        except DatabaseUnavailable:
                            continue
                finally:
                    self.paused = False
                log.info("consumer.resumed", queue=self.queue_name)

    async def _run(self, received: list[Received]) -> None:
        async def unit(tx: Transaction | None) -> None:
            messages = [self._message(one) for one in received]
            if self._inbox is not None and tx is not None:
                fresh = await self._inbox.take_in(tx, [one.event.id for one in received])
                # By id, because a list may hold the same event twice: published again, and both in hand.
                by_id = {one.event.id: self._message(one) for one in received if one.event.id in fresh}
                messages = list(by_id.values())
            if messages:
                await self._handle(messages if self._hearing.batch > 1 else messages[0], unit=tx)

        alone = received[0].event if len(received) == 1 else None
        with working_on(alone.correlationid if alone else None, alone.traceparent if alone else None):
            if self._in_unit:
                await self._database.transaction(unit, causes=[one.cause for one in received])
            else:
                await unit(None)

    def _message(self, one: Received) -> Any:
        """What the handler is given: an event's data, or the whole event where it has no view of it."""
        return one.event if self._hearing.view is None else one.event.data

    def _count(self, received: list[tuple[Delivery, Received]]) -> None:
        metrics.EVENTS_HANDLED.labels(self.event, "handled").inc(len(received))
        oldest = min(one.event.time for _, one in received)
        metrics.EVENT_LAG_SECONDS.labels(self.event).observe(max((utc_now() - oldest).total_seconds(), 0))

    # Failing ---------------------------------------------------------------------------------------------

    async def _try_later(self, delivery: Delivery, one: Received, error: Exception) -> None:
        """Publish the event alone to the next retry queue, or bury it after the last."""
        if isinstance(error, _GivenBack):
            raise error
        attempt = delivery.attempt + 1
        if attempt > len(self._retry_delays):
            await self._bury(delivery, one.raw, type(error).__name__, str(error), one)
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
        async with asyncio.timeout(CONFIRM_SECONDS):
            await self._retries[delay].publish(
                self._copy(delivery, one.raw, one, {"x-attempt": attempt}), routing_key=self.queue_name
            )

    async def _bury(
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
        await self._to_queue(topology.dead_name(self.queue_name), self._copy(delivery, raw, one, headers))

    async def _take_apart(self, delivery: Delivery) -> None:
        log.warning("consumer.takes_apart", queue=self.queue_name, events=len(delivery.events))
        for raw, why in delivery.unreadable:
            await self._bury(delivery, raw, "Unreadable", why)
        for one in delivery.events:
            headers = {"x-attempt": delivery.attempt, "x-alone": 1}
            await self._to_queue(self.queue_name, self._copy(delivery, one.raw, one, headers))
        await delivery.message.ack()

    async def _to_queue(self, queue: str, message: aio_pika.Message) -> None:
        if self._channel is None:
            raise ConnectionError("the channel is gone")
        async with asyncio.timeout(CONFIRM_SECONDS):
            await self._channel.default_exchange.publish(message, routing_key=queue, mandatory=True)

    def _copy(
        self, delivery: Delivery, raw: bytes, one: Received | None, headers: dict[str, Any]
    ) -> aio_pika.Message:
        """The event as a message of one, under its own id."""
        original = delivery.message
        kept = {name: value for name, value in original.headers.items() if name == REDRIVES_HEADER}
        return aio_pika.Message(
            cloudevents.batch([raw]) if one else raw,
            message_id=_short(one.event.id) if one else original.message_id,
            type=_short(one.event.type) if one else original.type or self.event,
            app_id=original.app_id,
            correlation_id=_short(one.event.correlationid) if one else original.correlation_id,
            timestamp=original.timestamp or utc_now(),
            content_type=original.content_type or cloudevents.CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT,
            headers={"x-count": 1, **kept, **headers},
        )


class _GivenBack(Exception):
    """The list cannot be handled now and goes back to the queue, with no attempt used up."""


def _number(header: Any) -> int:
    return header if isinstance(header, int) else 0


def _short(text: str | None) -> str | None:
    """At most as much of a foreign id as a property can hold: whoever made it too long must not stop us."""
    return text and text.encode(errors="replace")[:SHORT_BYTES].decode(errors="ignore")
