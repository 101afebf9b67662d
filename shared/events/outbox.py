"""The transactional outbox: events are committed with the change they tell of, then published.

Right after the commit they go out with publisher confirms, and their rows are deleted. What is still there
after a grace time (the broker was away, the process died) is claimed and republished by the scheduler, which
runs in every replica: `SKIP LOCKED` and a lease keep several from doing the same work. What can never be
sent, or is refused again and again, is parked: it waits for a person, and holds up no other.
"""

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

from shared import crash, metrics
from shared.broker import Address, Channel, Properties, Refused, counted, topology
from shared.broker.identity import identify, named
from shared.clock import utc_now
from shared.database.queries import Row, Select
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database, DatabaseUnavailable
from shared.errors import Unavailable, describe
from shared.events import cloudevents
from shared.events.packing import OutgoingMessage, join, pack
from shared.logs import log
from shared.messages import Event

CONFIRM_SECONDS = 10.0
WINDOW = 256
"""How many messages may wait for their confirm at once."""
CLAIM = 1000
MOST_UNCONFIRMED_BYTES = 8 * 1024 * 1024
"""When more than this waits for the broker's word, what is committed next waits in the table instead."""
MESSAGE_BYTES = 8 * 1024
"""What a message that waits costs besides its body."""
CLAIM_BYTES = 16 * 1024 * 1024
"""So much is claimed at once at most, though always one message: an outage may have left gigabytes."""
COUNTED = 10_000
"""So many waiting messages are counted; where there are more, it says so many."""
ALONE_AFTER = 3
"""What has been tried so often goes alone, so that only one can be at fault."""
PARKED_AFTER = 10
"""What the broker has refused so often waits for a person."""
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a parked message is due."""
DELETE_LINGER_SECONDS = 0.1
"""Confirmed rows are deleted in groups: they are in nobody's way before their grace time has passed."""


class _Due(Row):
    id: str
    size: int


class _Message(Row):
    id: str
    type: str
    count: int
    subjects: str
    correlation_id: str | None
    body: str
    attempts: int


class _Backlog(Row):
    messages: int
    oldest_at: datetime | None


class _Waiting(Row):
    messages: int
    leased: int
    oldest_us: int
    most_attempts: int


class _Parked(Row):
    messages: int


class _Subjects(Row):
    subjects: str


# Their ids rise with time, so the first are the oldest.
_FIRST = (
    "FROM (SELECT attempts, available_at, created_at FROM outbox"
    f" WHERE parked_at IS NULL ORDER BY id LIMIT {COUNTED}) waiting"
)
_BACKLOG = Select(_Backlog, _FIRST, made={"messages": "COUNT(*)", "oldest_at": "MIN(created_at)"})
_WAITING = Select(
    _Waiting,
    _FIRST,
    made={
        "messages": "COUNT(*)",
        "leased": "COALESCE(SUM(attempts > 0 AND available_at > UTC_TIMESTAMP(6)), 0)",
        "oldest_us": "COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)), 0)",
        "most_attempts": "COALESCE(MAX(attempts), 0)",
    },
)
_PARKED = Select(
    _Parked,
    f"FROM (SELECT id FROM outbox WHERE available_at = %s LIMIT {COUNTED}) parked",
    made={"messages": "COUNT(*)"},
)
_OF_TYPE = Select(_Subjects, "FROM outbox WHERE type = %s")
_UNPUBLISHED = Select(
    _Due,
    "FROM outbox WHERE available_at <= UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND"
    " AND (attempts = 0 OR available_at <= UTC_TIMESTAMP(6))"
    " ORDER BY available_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
    made={"size": "LENGTH(body)"},
)


_CLAIMED = Select(_Message, "FROM outbox WHERE id IN %s ORDER BY available_at, id")


class OutboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that were committed and are not known to be with the broker yet, of which 10,000 are counted.

    `parked` ones, which are not among the `pending`, could not be sent and wait for a person. `leased` are
    being published by a scheduler at this moment; `most_attempts` tells how often the least lucky one was
    tried.
    """

    service: str
    pending: int
    leased: int
    oldest_seconds: float
    most_attempts: int
    connected: bool
    parked: int = 0


class ParkedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be sent: what it tells of, and what the broker (or we) had against it."""

    id: str
    type: str
    count: int
    subjects: str
    correlation_id: str | None
    size: int
    attempts: int
    created_at: datetime
    parked_at: datetime
    problem: str


_PARKED_ONES = Select(
    ParkedMessage,
    "FROM outbox WHERE available_at = %s AND id > %s ORDER BY id LIMIT %s",
    made={
        "size": "LENGTH(body)",
        "subjects": "LEFT(subjects, 500)",
        "parked_at": "COALESCE(parked_at, created_at)",
        "problem": "COALESCE(problem, '')",
    },
)


class Outbox:
    """Stores what transactions emit, and sees to it that it reaches the broker."""

    def __init__(
        self, service: str, database: Database, *, grace_s: float = 5, poll_s: float = 1, lease_s: float = 30
    ) -> None:
        self.service = service
        self._database = database
        self._grace = timedelta(seconds=grace_s)
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._exchange = topology.events_exchange(service)
        self._channel: Channel | None = None
        self.connected_since: datetime | None = None
        """Since when this process can publish; None while the broker is away, or takes no messages."""
        self._window = asyncio.Semaphore(WINDOW)
        self._publishing: set[asyncio.Task[list[str]]] = set()
        self._unconfirmed_bytes = 0
        self._confirmed: list[str] = []
        self._deletable = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # On the link -----------------------------------------------------------------------------------------

    async def set_up(self, connection: AbstractConnection) -> None:
        """Take a fresh connection for publishing; what waits in the table goes out at once."""
        if not identify(connection, named(self.service)).is_own:
            async with connection.channel() as declaring:
                await topology.declare_events_exchange(declaring, self.service)
        self._channel = await Channel.open(connection, confirms=True)
        self.connected_since = utc_now()
        self._wake.set()

    async def tear_down(self) -> None:
        """The connection is gone; from now on messages wait in the table."""
        if self._channel is not None:
            self._channel.give_up()
        self._channel = None
        self.connected_since = None

    # In the transaction ----------------------------------------------------------------------------------

    async def store(self, tx: Transaction) -> list[OutgoingMessage]:
        """Write what the transaction emitted as outbox rows, events of one type together."""
        messages = pack(self.service, tx.emitted, tx.causes)
        available_at = tx.now + self._grace
        await tx.write_many(
            "INSERT INTO outbox"
            " (id, type, count, subjects, correlation_id, body, created_at, available_at, attempts)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0)",
            [
                (m.id, m.type, m.count, m.subjects, m.correlation_id, m.body.decode(), tx.now, available_at)
                for m in messages
            ],
        )
        return messages

    def after_commit(self, stored: list[OutgoingMessage]) -> None:
        """Publish what was just committed; if the broker is slow to take it, the scheduler will instead."""
        crash.here("outbox.after_commit")
        if not self._is_open or self._unconfirmed_bytes > MOST_UNCONFIRMED_BYTES:
            return
        size = sum(len(message.body) + MESSAGE_BYTES for message in stored)
        self._unconfirmed_bytes += size

        def done(task: asyncio.Task[list[str]]) -> None:
            self._publishing.discard(task)
            self._unconfirmed_bytes -= size

        task = asyncio.create_task(self._publish_and_forget(stored))
        self._publishing.add(task)
        task.add_done_callback(done)

    async def publish(self, address: Address, properties: Properties, body: bytes) -> None:
        """Publish what stands in no table, such as an event that failed, and wait until the broker has it.

        Raises `ConnectionError` while the broker is away or takes no messages, and what
        `Channel.publish_confirmed` raises.
        """
        channel = self._channel
        if channel is None or channel.is_blocked:
            raise ConnectionError("the broker takes no messages")
        sending = asyncio.ensure_future(channel.publish_confirmed(address, properties, body))
        try:
            # While it is short of memory the broker reads nothing; sent again, it would come twice later.
            while not (await asyncio.wait({sending}, timeout=CONFIRM_SECONDS))[0]:
                if not channel.is_blocked:
                    raise TimeoutError("the broker does not confirm")
            sending.result()
        finally:
            sending.cancel()

    # In the background -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the scheduler and the deletion of what has been published."""
        self._tasks = [
            asyncio.create_task(self._schedule(), name="outbox scheduler"),
            asyncio.create_task(self._delete(), name="outbox deletion"),
        ]

    async def flush(self, seconds: float) -> None:
        """Wait until what is being published is confirmed and deleted, at most `seconds`."""
        if self._publishing:
            await asyncio.wait(self._publishing, timeout=seconds)
        await self._delete_confirmed()

    async def stop(self) -> None:
        """Stop both background tasks; rows that are left wait for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def backlog(self) -> tuple[int, float]:
        """How many messages wait, and for how many seconds the oldest has waited."""
        [backlog] = await self._database.read(lambda reader: reader.find(_BACKLOG))
        if backlog.oldest_at is None:
            return 0, 0.0
        return backlog.messages, (utc_now() - backlog.oldest_at).total_seconds()

    async def status(self) -> OutboxStatus:
        """What waits, how much of it is being published right now, and whether the broker is there."""
        [waiting] = await self._database.read(lambda reader: reader.find(_WAITING))
        return OutboxStatus(
            service=self.service,
            pending=waiting.messages,
            leased=waiting.leased,
            oldest_seconds=max(waiting.oldest_us, 0) / 1_000_000,
            most_attempts=waiting.most_attempts,
            connected=self._is_open,
            parked=await self.parked(),
        )

    async def parked(self) -> int:
        """How many messages wait for a person."""
        [parked] = await self._database.read(lambda reader: reader.find(_PARKED, NEVER))
        return parked.messages

    async def parked_messages(self, after: str, limit: int) -> list[ParkedMessage]:
        """Messages that wait for a person, by id, which rises with time."""
        return await self._database.read(lambda reader: reader.find(_PARKED_ONES, NEVER, after, limit))

    async def send_again(self, ids: Sequence[str] | None) -> int:
        """Have parked messages tried again, some or all, as if for the first time; returns how many."""
        some = "" if ids is None else " AND id IN %s"
        args = [NEVER] if ids is None else [NEVER, sorted(set(ids))]

        async def due(tx: Transaction) -> int:
            return await tx.execute(
                "UPDATE outbox SET available_at = UTC_TIMESTAMP(6), attempts = 0, parked_at = NULL,"
                f" problem = NULL WHERE available_at = %s{some}",
                args,
            )

        changed = await self._database.transaction(due) if ids is None or ids else 0
        self._wake.set()
        return changed

    def publish_now(self) -> None:
        """Publish at once what waits for its grace time to pass. Raises `Unavailable` without a broker.

        What another scheduler has leased is left to it: it is on its way.
        """
        if not self._is_open:
            raise Unavailable(f"The {self.service} service is not connected to a broker that takes messages.")
        self._wake.set()

    @property
    def _is_open(self) -> bool:
        """Whether the broker is there, and has not said that it takes no messages for now."""
        return self._channel is not None and not self._channel.is_blocked

    def _note_whether_open(self) -> None:
        """A broker that takes no messages says so of each connection, and not when it does or ends."""
        if not self._is_open:
            self.connected_since = None
        elif self.connected_since is None:
            self.connected_since = utc_now()

    async def waiting_subjects(self, reader: Reader, event: type[Event]) -> set[str]:
        """What the events of one type that still wait here are about."""
        waiting = await reader.find(_OF_TYPE, event.wire_name)
        return {subject for one in waiting for subject in one.subjects.split()}

    async def _publish_and_forget(self, messages: Sequence[OutgoingMessage]) -> list[str]:
        """Publish in one pipeline; confirmed rows are deleted; the others, whose ids are returned, stay."""
        failed: list[str] = []
        results = await asyncio.gather(*(self._publish(m) for m in messages), return_exceptions=True)
        crash.here("outbox.after_publish")
        for message, result in zip(messages, results, strict=True):
            if isinstance(result, BaseException):
                log.info(
                    "outbox.publish_failed", type=message.type, message_id=message.id, **describe(result)
                )
                failed.extend(message.rows)
            else:
                metrics.EVENTS_PUBLISHED.labels(message.type).inc(message.count)
                self._confirmed.extend(message.rows)
        if self._confirmed:
            self._deletable.set()
        return failed

    async def _publish(self, message: OutgoingMessage) -> None:
        async with self._window:
            if self._channel is None:
                raise ConnectionError("the broker is away")
            async with asyncio.timeout(CONFIRM_SECONDS):
                # Not mandatory: whether anybody listens is not the publisher's business.
                await self._channel.publish_confirmed(
                    Address(self._exchange, message.type, mandatory=False),
                    Properties(
                        message_id=message.id,
                        type=message.type,
                        app_id=named(self.service),
                        timestamp=utc_now(),
                        content_type=cloudevents.CONTENT_TYPE,
                        headers=counted(message.count),
                        is_persistent=True,
                        correlation_id=message.correlation_id,
                    ),
                    message.body,
                )

    async def _delete(self) -> None:
        while True:
            await self._deletable.wait()
            await asyncio.sleep(DELETE_LINGER_SECONDS)
            try:
                await self._delete_confirmed()
            except Exception as error:  # whatever stays is published again by the scheduler, and harmless
                log.info("outbox.delete_failed", **describe(error))
                await asyncio.sleep(1)

    async def _delete_confirmed(self) -> None:
        self._deletable.clear()
        ids, self._confirmed = self._confirmed, []
        if not ids:
            return

        try:
            await self._database.execute("DELETE FROM outbox WHERE id IN %s", [sorted(ids)])
        except Exception:  # whatever it was: the ids are kept for the next try; raised again
            self._confirmed += ids
            self._deletable.set()
            raise

    async def _schedule(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            reconnected = self._wake.is_set()
            self._wake.clear()
            self._note_whether_open()
            try:
                while self._is_open and await self._republish(reconnected):
                    pass
            except DatabaseUnavailable as error:
                log.info("outbox.waits_for_database", **describe(error))
            except Exception as error:  # the scheduler must outlive whatever one round of it meets
                log.warning("outbox.scheduler_failed", **describe(error))

    async def _republish(self, reconnected: bool) -> bool:
        """Claim some of what is due and publish it; True if there may be more.

        Just after the broker came back the grace time no longer matters: nobody else is publishing these.
        """
        claimed = await self._database.transaction(lambda tx: self._claim(tx, early=reconnected))
        if not claimed:
            return False
        log.info("outbox.republishes", messages=len(claimed))
        crowd = [_outgoing(row) for row in claimed if row.attempts < ALONE_AFTER]
        failed = await self._publish_and_forget(join(crowd)) if crowd else []
        for row in claimed:
            if row.attempts >= ALONE_AFTER:
                failed += await self._publish_alone(row)
        await self._delete_confirmed()
        if failed:
            # Given back, so that they go out as soon as the broker is back and not when the lease is over.
            await self._database.execute(
                "UPDATE outbox SET available_at = UTC_TIMESTAMP(6) WHERE id IN %s", [sorted(failed)]
            )
        return not failed

    async def _publish_alone(self, row: _Message) -> list[str]:
        """Publish what failed before, with nothing beside it; park it if it is found to be at fault."""
        channel = self._channel
        try:
            await self._publish(_outgoing(row))
        except Exception as error:  # whatever it was: the row is parked, or tried again
            problem = _fault(error, channel.ended if channel else None, row.attempts)
            if problem is None:
                log.info("outbox.publish_failed", type=row.type, message_id=row.id, **describe(error))
                return [row.id]
            await self._database.execute(
                "UPDATE outbox SET available_at = %s, parked_at = UTC_TIMESTAMP(6), problem = %s"
                " WHERE id = %s",
                [NEVER, problem[:500], row.id],
            )
            metrics.OUTBOX_MESSAGES_PARKED.labels(row.type).inc()
            log.error("outbox.parked", type=row.type, message_id=row.id, problem=problem)
            return []
        metrics.EVENTS_PUBLISHED.labels(row.type).inc(row.count)
        self._confirmed.append(row.id)
        return []

    async def _claim(self, tx: Transaction, *, early: bool) -> list[_Message]:
        """Lease what is due, as much as may be in hand at once."""
        # The database's clock decides, so that replicas on hosts that disagree about the time do not collide.
        grace = self._grace.total_seconds() if early else 0.0
        due = await tx.find(_UNPUBLISHED, int(grace * 1_000_000), CLAIM)
        ids, size = [], 0
        for row in due:
            size += row.size
            if ids and size > CLAIM_BYTES:
                break
            ids.append(row.id)
        if not ids:
            return []
        claimed = await tx.find(_CLAIMED, ids)
        await tx.write(
            "UPDATE outbox SET attempts = attempts + 1,"
            " available_at = UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND WHERE id IN %s",
            (int(self._lease_s * 1_000_000), ids),
        )
        return claimed


def _outgoing(row: _Message) -> OutgoingMessage:
    return OutgoingMessage(
        id=row.id,
        type=row.type,
        count=row.count,
        subjects=row.subjects,
        correlation_id=row.correlation_id,
        body=row.body.encode(),
        rows=(row.id,),
    )


def _fault(error: Exception, ended: Exception | None, attempts: int) -> str | None:
    """What is wrong with a message that went alone; None if it may be the broker's or the way's fault."""
    if isinstance(error, ValueError | TypeError | OverflowError | struct.error):
        return f"it cannot be packed: {error}"
    if isinstance(ended, ChannelPreconditionFailed):
        return f"the broker closes the connection over it: {ended}"
    if isinstance(error, Refused) and attempts >= PARKED_AFTER:
        return f"{error}, {attempts} times"
    return None
