"""The consumer: collects lists of events, runs them in one transaction, then acknowledges.

Events that one function takes in lists come from several queues and share its lists: what concerns one order
is then often done in one go. If a list fails it is run again one by one, and what fails alone goes alone to
retry and dead letters. While the database is away, what is held stays unacknowledged and no attempt is burnt.
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aio_pika.abc import AbstractConnection

from shared import clocks, crash, metrics
from shared.batching import Batching
from shared.clock import utc_now
from shared.context import working_on
from shared.database.failures import DatabaseUnavailable, RowsLocked
from shared.database.locks import LIST_LOCK_WAIT_SECONDS, Held, held_by_others, named
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import describe
from shared.events import suspects
from shared.events.inbox import Inbox
from shared.events.subscription import Delivery, Publish, Received, Subscription
from shared.logs import log
from shared.registry import Hearing

PROBE_SECONDS = 1.0
FILL_FIRST_SECONDS = 0.05
"""How long a consumer of everything (the read side) waits for its lists to fill up, at rest and under load.

An order with a coupon causes four events within some 20 ms. Taken as they come they would be four
transactions, each of which writes the same order's view, and at rest the read side would use more CPU than
any other service. In 50 ms they come together as one. A page that shows the order is behind by that much;
what buyers wait for does not pass here. 250 ms made no difference any more (docs/performance.md)."""
POISON_SECONDS = 0.2
"""How long what may be poison gathers on a fresh link before one is drawn: else always the queue's first."""
LIST_TRIES = 2
"""How often a list waits for locks that nobody is found to hold, before its events are taken apart."""
LOOK_AGAIN_SECONDS = 0.05
"""The pause between two looks at who holds rows that a list has waited for."""

InHand = tuple[Delivery, Received]
"""An event, and the message that it came in."""


class Consumer:
    """Runs one handler on the queues of its events. One list at a time, so that lists grow under load."""

    def __init__(
        self,
        service: str,
        process: str,
        hearings: Sequence[Hearing],
        handle: Callable[..., Awaitable[Any]],
        database: Database,
        publish: Publish,
        *,
        in_unit: bool,
        retry_delays: tuple[float, ...],
        linger_s: float,
        database_patience_s: float,
        instance: int,
    ) -> None:
        self.subscriptions = [
            Subscription(service, process, hearing, publish, retry_delays=retry_delays, instance=instance)
            for hearing in hearings
        ]
        self.name = (
            self.subscriptions[0].queue_name
            if len(hearings) == 1
            else f"{service}.{hearings[0].handler.__name__}"
        )
        self.paused = False
        self.give_back: Callable[[], None] = lambda: None
        """Breaks the connection, so that what is held unacknowledged comes again."""
        self._batch = min(hearing.batch for hearing in hearings)
        self._handle = handle
        self._database = database
        self._in_unit = in_unit
        self._inbox = Inbox(self.subscriptions[0].queue_name) if hearings[0].once else None
        self._patience_s = database_patience_s
        self._touches = hearings[0].touches
        self._lock_wait_s = LIST_LOCK_WAIT_SECONDS if self._touches is not None else None
        self._held: frozenset[Held] = frozenset()
        """Rows that were found locked by others, and not yet free again."""
        fill_first = all(hearing.view is None for hearing in hearings)
        self._waiting: Batching[Delivery] = Batching(
            self._batch, FILL_FIRST_SECONDS if fill_first else linger_s, fill_first=fill_first
        )
        self._poison: list[Delivery] = []
        self._poison_next = False
        self._poison_gathered = False
        self._arrived = asyncio.Event()
        self._stopping = False
        self._worker: asyncio.Task[None] | None = None

    # On the link -----------------------------------------------------------------------------------------

    async def set_up(self, connection: AbstractConnection) -> None:
        """Start to work, and to consume the queues."""
        self._waiting.clear()
        self._poison.clear()
        self._poison_gathered = False
        self._stopping = False
        self._worker = asyncio.create_task(self._work(), name=f"consumer {self.name}")
        for subscription in self.subscriptions:
            await subscription.set_up(connection, self._take)

    async def tear_down(self) -> None:
        """The channels are gone, and with them what was not acknowledged: it will come again."""
        for subscription in self.subscriptions:
            subscription.tear_down()
        self._waiting.clear()
        self._poison.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})
            self._worker = None

    async def drain(self, seconds: float) -> None:
        """Take nothing more, finish the list in hand; the rest goes back to its queue with the channel."""
        self._stopping = True
        await asyncio.gather(*(subscription.cancel(seconds) for subscription in self.subscriptions))
        self._arrived.set()
        if self._worker is not None and not self.paused:
            await asyncio.wait({self._worker}, timeout=seconds)
        await asyncio.gather(*(subscription.flush(seconds) for subscription in self.subscriptions))

    # Collecting ------------------------------------------------------------------------------------------

    def _take(self, delivery: Delivery) -> None:
        if delivery.may_be_poison:
            self._poison.append(delivery)
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
                log.info("consumer.given_back", consumer=self.name, **describe(error))
                self.give_back()
                return

    async def _collect(self) -> list[Delivery]:
        """What has arrived, up to a full list. Lingers only when the last list showed load.

        What may be poison goes alone, in turns with the lists, and drawn at random: whatever was held beside
        the message that kills looks like poison, too, and must not die of always coming after it.
        """
        if not self._waiting and not self._poison:
            self._arrived.clear()
            await self._arrived.wait()
        if self._poison and (self._poison_next or not self._waiting):
            self._poison_next = False
            if not self._poison_gathered:
                self._poison_gathered = True
                await asyncio.sleep(POISON_SECONDS)
            return [self._poison.pop(random.randrange(len(self._poison)))]  # noqa: S311  no secret
        self._poison_next = True
        return await self._waiting.take()

    # Handling --------------------------------------------------------------------------------------------

    async def _settle(self, deliveries: list[Delivery]) -> None:
        """Bring every event of these messages to an end: handled, waiting for a retry, or dead."""
        whole: list[Delivery] = []
        for delivery in deliveries:
            # Something in it killed the process twice: taken apart, each event can only harm itself.
            if delivery.may_be_poison and len(delivery.events) > 1:
                await delivery.source.split(delivery)
            else:
                whole.append(delivery)
        for delivery in whole:
            for raw, exception, why in delivery.given_up:
                await delivery.source.dead_letter(delivery, raw, exception, why)
        received = [(delivery, one) for delivery in whole for one in delivery.events]
        started = time.perf_counter()
        for start in range(0, len(received), self._batch):
            part = received[start : start + self._batch]
            await (self._handle_suspect(part) if whole[0].may_be_poison else self._handle_list(part))
        metrics.EVENT_LIST_SECONDS.labels(self.name).observe(time.perf_counter() - started)
        crash.here("consumer.before_ack")
        for delivery in whole:
            delivery.message.ack()

    async def _handle_suspect(self, received: list[InHand]) -> None:
        """Handle what may have killed the process that had it, unless it has killed too many of them.

        That is counted in our database. What cannot be counted now is handled all the same: while the
        database is away, that waits for it.
        """
        [(delivery, one)] = received
        suspect = suspects.suspect_id(delivery.source.queue_name, one.raw)
        try:
            deaths = await suspects.begin(self._database, suspect)
        except Exception as error:  # a database that is away: the handler waits for it, and the event is kept
            log.info("consumer.not_counted", consumer=self.name, **describe(error))
            deaths = 0
        try:
            if deaths < suspects.DEATHS:
                await self._handle_list(received)
            else:
                why = f"{deaths} processes died while they handled it"
                await delivery.source.dead_letter(delivery, one.raw, "Killer", why, one)
        finally:
            with contextlib.suppress(Exception):  # what stays counts for nothing but its own event
                await suspects.end(self._database, suspect)

    async def _handle_list(self, received: list[InHand]) -> None:
        metrics.EVENT_LIST_SIZE.labels(self.name).observe(len(received))
        if self._held:
            received = await self._without_held(received, self._held)
        tries_left = LIST_TRIES
        while len(received) > 1:
            try:
                await self._patiently(received, self._lock_wait_s)
                _count(received)
                return
            except _GivenBack:
                raise
            except RowsLocked as error:
                log.info("consumer.rows_locked", consumer=self.name, events=len(received), **describe(error))
                free = await self._without_held(received)
                # If none is found, whoever held it has let go, or it is a row that we were not told of.
                tries_left -= len(free) == len(received)
                received = free
                if not tries_left:
                    break
            except Exception as error:  # one of them is at fault: alone, each harms only itself
                log.info("consumer.list_apart", consumer=self.name, events=len(received), **describe(error))
                break
        for delivery, one in received:
            await self._handle_alone(delivery, one)

    async def _handle_alone(self, delivery: Delivery, one: Received) -> None:
        try:
            await self._patiently([(delivery, one)], self._lock_wait_s)
            _count([(delivery, one)])
        except _GivenBack:
            raise
        except RowsLocked:
            if await self._without_held([(delivery, one)]):  # it would have been held back, had we found why
                await delivery.source.hold_back(delivery, one)
        except Exception as error:  # whatever a handler raises goes to retry, then to the dead letters
            await delivery.source.try_later(delivery, one, error)

    async def _without_held(
        self, received: list[InHand], among: frozenset[Held] | None = None
    ) -> list[InHand]:
        """Hold back the events whose rows others have locked; returns the rest.

        Looked at are all rows that the events touch, or those `among` some that were found locked before.
        """
        touches = self._touches
        assert touches is not None  # noqa: S101  otherwise nothing is ever found locked

        async def look(tx: Transaction) -> tuple[list[set[Held]], set[Held]]:
            touched = await named(tx, [touches(delivery.source.message(one)) for delivery, one in received])
            rows = set[Held]().union(*touched)
            return touched, await held_by_others(tx, rows if among is None else rows & among)

        try:
            touched, held = await self._database.transaction(look)
            if held and among is None:
                # Other lists hold rows, too, for some hundredths of a second: those are not to blame.
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                held &= (await self._database.transaction(look))[1]
        except Exception as error:  # who cannot look goes on without having looked: that meets the same
            log.warning("consumer.cannot_look", consumer=self.name, **describe(error))
            return received
        self._held = (self._held - set[Held]().union(*touched)) | held
        for rows, (delivery, one) in zip(touched, received, strict=True):
            if rows & held:
                await delivery.source.hold_back(delivery, one)
        return [in_hand for rows, in_hand in zip(touched, received, strict=True) if not rows & held]

    async def _patiently(self, received: list[InHand], lock_wait_s: int | None) -> None:
        """Run the handler; while the database is away or takes no changes, hold on and probe."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                await self._run(received, lock_wait_s)
                return
            except DatabaseUnavailable as error:
                if not self.paused:
                    log.warning("consumer.paused", consumer=self.name, **describe(error))
                self.paused = True
                try:
                    while True:
                        if self._stopping or time.monotonic() > deadline:
                            raise _GivenBack(
                                "the database is away; the messages go back to the queue"
                            ) from error
                        await asyncio.sleep(PROBE_SECONDS)
                        try:
                            await self._database.ready_to_write()
                            break
                        except DatabaseUnavailable:
                            continue
                finally:
                    self.paused = False
                log.info("consumer.resumed", consumer=self.name)

    async def _run(self, received: list[InHand], lock_wait_s: int | None) -> None:
        async def unit(tx: Transaction | None) -> None:
            wanted = received
            if self._inbox is not None and tx is not None:
                fresh = await self._inbox.take_in(tx, [one.event.id for _, one in received])
                # By id, because a list may hold the same event twice: published again, and both in hand.
                wanted = list(
                    {one.event.id: (d, one) for d, one in received if one.event.id in fresh}.values()
                )
            messages = [delivery.source.message(one) for delivery, one in wanted]
            if messages:
                await self._handle(messages if self._batch > 1 else messages[0], unit=tx)

        alone = received[0][1].event if len(received) == 1 else None
        with working_on(alone.correlationid if alone else None, alone.traceparent if alone else None):
            if self._in_unit:
                causes = [one.cause for _, one in received]
                await self._database.transaction(unit, causes=causes, lock_wait_s=lock_wait_s)
            else:
                await unit(None)


def _count(received: list[InHand]) -> None:
    by_event: dict[str, list[Received]] = defaultdict(list)
    for delivery, one in received:
        by_event[delivery.source.event].append(one)
    for event, these in by_event.items():
        metrics.EVENTS_HANDLED.labels(event, "handled").inc(len(these))
        waited = utc_now() - min(one.event.time for one in these)
        clocks.note(event, max(one.event.time for one in these))
        metrics.EVENT_LAG_SECONDS.labels(event).observe(max(waited.total_seconds(), 0))


class _GivenBack(Exception):
    """The list cannot be handled now and goes back to the queue, with no attempt used up."""
