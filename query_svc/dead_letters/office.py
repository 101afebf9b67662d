"""Where dead letters are fetched from their queues, and where they are sent back from."""

import time
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from shared.broker import WHY_UNREADABLE, Identity, dead_name, identify, origin
from shared.errors import Unavailable
from shared.messages import service_of

PREFETCH = 50
LOOK_FOR_QUEUE_S = 15.0
TRY_AGAIN_S = 60.0


class Arrived(NamedTuple):
    """A dead letter in hand, not acknowledged yet, and the queue that gave up on it."""

    queue: str
    message: AbstractIncomingMessage
    published_by: str
    """The user whose message it is, as far as that can be believed."""
    is_strange: bool
    """Whether it was put here by somebody else than the queue's own service, or the broker."""


class DeadLetterOffice:
    """Consumes the queues of dead letters, and publishes to queues; on a connection of its own."""

    role = "dead letters"

    def __init__(self, process: str) -> None:
        self._process = process
        self._connection: AbstractConnection | None = None
        self._us = Identity("", is_own=False)
        self._taking: AbstractChannel | None = None
        self._sending: AbstractChannel | None = None
        self._consumed: set[str] = set()
        self._missing: dict[str, float] = {}
        self._arrived: deque[Arrived] = deque()
        self._put_off: list[tuple[float, Arrived]] = []
        """What could not be kept, and from when on it is tried again."""
        self.described_at: dict[str, float] = {}
        """When each service last said which queues it has, by this process's clock."""

    async def set_up(self, connection: AbstractConnection) -> None:
        """Take a fresh connection; nothing is consumed on it until `watch` is told what."""
        self._us = identify(connection, self._process)
        self._taking = await connection.channel(publisher_confirms=False)
        await self._taking.set_qos(prefetch_count=PREFETCH)
        self._sending = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._consumed.clear()
        self._missing.clear()
        self._arrived.clear()
        self._put_off.clear()
        self._connection = connection

    async def tear_down(self) -> None:
        """The connection is gone; what was not acknowledged on it will come again."""
        self._connection = self._taking = self._sending = None
        self._consumed.clear()
        self._arrived.clear()
        self._put_off.clear()

    @property
    def is_open(self) -> bool:
        """Whether the broker is there."""
        return self._sending is not None

    async def watch(self, queues: Iterable[str]) -> None:
        """Consume the dead letters of these queues, as far as that is not done already."""
        for queue in queues:
            if self._connection is None or self._taking is None:
                return
            if queue in self._consumed or self._missing.get(queue, 0.0) > time.monotonic():
                continue
            if not await _exists(self._connection, dead_name(queue)):
                # To consume from a queue that is not there breaks the channel: looked for now and then.
                self._missing[queue] = time.monotonic() + LOOK_FOR_QUEUE_S
                continue
            self._consumed.add(queue)
            declared = await self._taking.get_queue(dead_name(queue), ensure=False)
            await declared.consume(self._arrival(queue), consumer_tag=f"{self._process} {queue}.dead")

    def take(self, most: int) -> list[Arrived]:
        """What has arrived, or is due again, to be kept and then acknowledged."""
        now = time.monotonic()
        self._arrived.extend(one for due, one in self._put_off if due <= now)
        self._put_off = [later for later in self._put_off if later[0] > now]
        return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]

    def put_back(self, arrived: list[Arrived]) -> None:
        """These could not be kept now, and are to be handed out again; unless their connection is gone."""
        self._arrived.extendleft(reversed([one for one in arrived if not one.message.channel.is_closed]))

    def put_off(self, one: Arrived) -> None:
        """This one cannot be kept: it stays unacknowledged in its queue, and is handed out in a minute."""
        self._put_off.append((time.monotonic() + TRY_AGAIN_S, one))

    async def send(self, queue: str, message: Message) -> None:
        """Publish to one queue alone, confirmed. Raises `DeliveryError` if there is no such queue."""
        if self._sending is None:
            raise Unavailable("The broker is unavailable.")
        message.user_id = self._us.user_id
        await self._sending.default_exchange.publish(message, routing_key=queue, mandatory=True, timeout=10)

    def _arrival(self, queue: str) -> Any:
        consumer, _, heard = queue.partition(".")
        expected = origin(self._us, consumer, service_of(heard))

        async def arrive(message: AbstractIncomingMessage) -> None:
            published_by = expected.publisher_of(message)
            # Of properties that cannot be read nothing is known, and they say so themselves.
            is_known = message.user_id in (expected.publisher, *expected.resenders)
            is_strange = not is_known and WHY_UNREADABLE not in message.headers
            self._arrived.append(Arrived(queue, message, published_by, is_strange))

        return arrive


async def _exists(connection: AbstractConnection, queue: str) -> bool:
    channel = await connection.channel(publisher_confirms=False)
    try:
        await channel.get_queue(queue, ensure=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True
