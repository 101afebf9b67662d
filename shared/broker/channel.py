"""A channel on which a message costs little: it is packed once and written, or handed over where it is read.

The client library's own channel puts every frame into a queue, wakes a task to take it out again and starts
another one for each message; for a lone call that was half of its time. This one stands in its place in the
connection, which knows of a channel no more than its number and where to put its frames (docs/adr/0016).
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as LowerConnection
from aiormq.abc import ChannelFrame
from aiormq.channel import exception_by_code
from aiormq.exceptions import ChannelClosed
from pamqp import commands as amqp
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shared.broker.frames import Address, Properties, acknowledgement, packed
from shared.broker.identity import user_of
from shared.broker.outlet import Outlet
from shared.errors import describe
from shared.logs import log

REPLY_SECONDS = 5.0
LOST = "the connection to the broker broke"
MOST_UNCONFIRMED = 4096
"""A broker that takes messages and confirms none gets no more than this: each is remembered until it does."""


class NotConfirmed(Exception):
    """The broker did not take a message, or was gone before it said so."""


class Unroutable(NotConfirmed):
    """There was no queue for a message that had to reach one."""


class Refused(NotConfirmed):
    """The broker said that it does not take a message."""


class Congested(NotConfirmed):
    """A message was not sent, for what was sent before is still here."""


class Message(NamedTuple):
    """A message that has arrived."""

    properties: amqp.Basic.Properties
    body: bytes
    number: int
    """By which it is acknowledged."""
    channel: "Channel"

    @property
    def headers(self) -> dict[str, Any]:
        """What its sender, and the broker, added to its properties."""
        return self.properties.headers or {}

    def ack(self) -> None:
        """Tell the broker that it has done its work and may be forgotten."""
        self.channel.ack(self.number)


Take = Callable[[Message], None]
"""Handles a message as it arrives. It must not wait for anything: nothing else is read meanwhile."""


class Channel:
    """Sends without waiting, and hands over what arrives.

    If the broker closes it, or takes away one of its queues, it takes its whole connection along: the link
    then sets everything up anew, as after any other loss.
    """

    def __init__(self, connection: AbstractConnection, lower: LowerConnection, number: int) -> None:
        self._connection = connection
        self._lower = lower
        self._number = number
        self._outlet = Outlet(lower.write_queue)
        self._frame_max = lower.connection_tune.frame_max or 4096
        self._user_id = user_of(lower)
        self._takers: dict[str, Take] = {}
        self._take_back: Take = _nobody
        # What has arrived of the message that is arriving.
        self._method: amqp.Basic.Deliver | amqp.Basic.Return | None = None
        self._header = ContentHeader()
        self._body: list[bytes] = []
        self._missing = 0
        # What has been sent.
        self._published = 0
        self._unconfirmed: dict[int, tuple[str, asyncio.Future[None]]] = {}
        """Ids of messages that the broker has not confirmed yet, by their number on this channel."""
        self._reply: asyncio.Future[Frame] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.ended: Exception | None = None
        """Why the broker closed this channel, if it did."""
        self.frames = self
        """Where the connection puts this channel's frames: it calls `put`."""

    # Opening and closing ---------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls, connection: AbstractConnection, *, confirms: bool = False, prefetch: int = 0
    ) -> "Channel":
        """A new channel on a connection that is up.

        With `confirms` the broker says of each message that it has it; `prefetch` says how many
        unacknowledged messages each consumer may hold, 0 for any number.
        """
        if connection.transport is None:
            raise ConnectionError("the connection is closed")
        lower = connection.transport.connection
        number = next(number for number in range(1, 1 << 16) if number not in lower.channels)
        channel = cls(connection, lower, number)
        lower.channels[number] = cast("Any", channel)
        await channel._ask(amqp.Channel.Open())
        if confirms:
            await channel._ask(amqp.Confirm.Select())
        if prefetch:
            await channel._ask(amqp.Basic.Qos(prefetch_count=prefetch))
        return channel

    def give_up(self) -> None:
        """The connection is gone: what was not written never will be, what was not confirmed may be lost."""
        self._outlet.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError(LOST))
        for _, confirmed in self._unconfirmed.values():
            if not confirmed.done():
                confirmed.set_exception(NotConfirmed(LOST))
        self._unconfirmed.clear()

    # Taking ----------------------------------------------------------------------------------------------

    async def consume(
        self, queue: str, tag: str, take: Take, *, no_ack: bool = False, priority: int | None = None
    ) -> None:
        """Have what is in a queue handed to `take`, from now on.

        Raises `ChannelNotFoundEntity` if there is no such queue; the channel is gone then.
        """
        self._takers[tag] = take
        arguments: dict[str, Any] = {} if priority is None else {"x-priority": priority}
        await self._ask(amqp.Basic.Consume(queue=queue, consumer_tag=tag, no_ack=no_ack, arguments=arguments))

    async def cancel(self, tag: str) -> None:
        """Take no more from a queue."""
        await self._ask(amqp.Basic.Cancel(consumer_tag=tag))

    def ack(self, number: int) -> None:
        """Acknowledge one message."""
        self._outlet.write(acknowledgement(self._number, number))

    # Sending ---------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has said that it takes no messages for now: it is short of memory or of disk."""
        asked = self._lower.ready()
        try:
            asked.send(None)
        except StopIteration:  # answered at once
            return False
        asked.close()
        return True

    def publish(self, address: Address, properties: Properties, body: bytes) -> None:
        """Send a message; whether it gets there, nobody says. For channels without confirms.

        Raises `Congested` if the connection has not got rid of what was sent before.
        """
        if self._outlet.is_congested:
            raise Congested("the broker does not read what it is sent")
        self._outlet.write(self._packed(address, properties, body))

    def on_return(self, take_back: Take) -> None:
        """Say who is to have a mandatory message that there was no queue for."""
        self._take_back = take_back

    async def publish_confirmed(self, address: Address, properties: Properties, body: bytes) -> None:
        """Send a message, and wait until the broker has it. For channels with confirms.

        Raises `Unroutable` if it was mandatory and there was no queue for it, `Congested` if it was not sent,
        `NotConfirmed` if the broker did not take it, or may not have.
        """
        written = self._packed(address, properties, body)
        await self._outlet.wait_for_room()
        if self._outlet.is_closed:
            raise NotConfirmed(LOST)
        if len(self._unconfirmed) >= MOST_UNCONFIRMED:
            raise Congested("the broker does not confirm what it is sent")
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Counted and written in one go: the broker counts messages in the order in which they come.
        self._published += 1
        self._unconfirmed[self._published] = properties.message_id, confirmed
        self._outlet.write(written)
        await confirmed

    def _packed(self, address: Address, properties: Properties, body: bytes) -> bytes:
        return packed(self._number, address, properties, body, self._frame_max, self._user_id)

    def ask_for_a_word(self) -> None:
        """Ask what a broker answers at once, so that something comes. For channels that do nothing else."""
        self._outlet.write(ChannelFrame.marshall(self._number, [amqp.Basic.Qos()]).payload)

    async def flush(self, seconds: float) -> None:
        """Wait until everything sent so far has been handed to the operating system, at most `seconds`."""
        await self._outlet.flush(seconds)

    async def _ask(self, method: Frame) -> None:
        """Send a method, and wait for the broker's word that it is done. One at a time."""
        self._reply = asyncio.get_running_loop().create_future()
        self._outlet.write(ChannelFrame.marshall(self._number, [method]).payload)
        async with asyncio.timeout(REPLY_SECONDS):
            await self._reply

    # Arriving --------------------------------------------------------------------------------------------

    async def put(self, weighed: tuple[int, Any]) -> None:
        """Handle one frame of this channel. Raises nothing: that would end the connection's reading."""
        _, frame = weighed
        match frame:
            case ContentBody():
                self._body.append(frame.value)
                self._missing -= len(frame.value)
                if self._missing <= 0:
                    self._hand_over()
            case ContentHeader():
                self._header = frame
                self._missing = frame.body_size or 0
                if self._missing == 0:
                    self._hand_over()
            case amqp.Basic.Deliver() | amqp.Basic.Return():
                self._method = frame
            case amqp.Basic.Ack() | amqp.Basic.Nack():
                self._confirm(frame)
            case amqp.Channel.Close():
                self._outlet.write(ChannelFrame.marshall(self._number, [amqp.Channel.CloseOk()]).payload)
                self._end(exception_by_code(frame))
            case amqp.Basic.Cancel():
                self._end(ChannelClosed(0, "a queue was taken away"))
            case _:
                if self._reply is not None and not self._reply.done():
                    self._reply.set_result(frame)

    def _hand_over(self) -> None:
        method, body = self._method, b"".join(self._body)
        self._method = None
        self._body.clear()
        match method:
            case amqp.Basic.Deliver():
                take = self._takers.get(method.consumer_tag or "", _nobody)
                number = method.delivery_tag or 0
            case amqp.Basic.Return():
                take, number = self._returned, 0
            case None:
                return
        try:
            take(Message(self._header.properties, body, number, self))
        except Exception as error:  # one message must not end the connection that all the others need
            log.error("amqp.take_failed", type=self._header.properties.message_type, exc_info=error)

    def _returned(self, message: Message) -> None:
        """Tell the one who waits for its confirm, or whoever wants it back."""
        for message_id, confirmed in self._unconfirmed.values():
            if message_id == message.properties.message_id and not confirmed.done():
                confirmed.set_exception(Unroutable("there is no queue for the message"))
                return
        self._take_back(message)

    def _confirm(self, frame: amqp.Basic.Ack | amqp.Basic.Nack) -> None:
        last = frame.delivery_tag or 0
        for number in [n for n in self._unconfirmed if n <= last] if frame.multiple else [last]:
            _, confirmed = self._unconfirmed.pop(number, ("", None))
            if confirmed is None or confirmed.done():  # nobody waits any more
                continue
            if isinstance(frame, amqp.Basic.Ack):
                confirmed.set_result(None)
            else:
                confirmed.set_exception(Refused("the broker refused the message"))

    def _end(self, error: Exception) -> None:
        """The channel is gone: whoever waits for the broker's word learns it, or else the connection goes."""
        self.ended = error
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
        elif self._closing is None:
            log.info("amqp.channel_lost", **describe(error))
            self._closing = asyncio.create_task(self._connection.close(error))


def _nobody(message: Message) -> None:
    log.warning("amqp.message_for_nobody", type=message.properties.message_type)
