"""The limit's HTTP door: Litestar, as ours. `POST /orders` answers when the order has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import aio_pika
import msgspec
import uuid_utils
from aio_pika import ExchangeType
from aio_pika.abc import AbstractIncomingMessage
from litestar import Litestar, Response, post
from litestar.params import Body, HeaderParameter

from bench.limit.messages import Line, Order, encode, ends_of
from bench.limit.wire import EXCHANGE

CALLS = "limit.place"


class Basket(msgspec.Struct):
    """What a client sends."""

    lines: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=2000)]


class Desk:
    """Sends orders in groups to the order service, and knows who waits for which."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel, replies: str) -> None:
        self._channel = channel
        self._replies = replies
        self._outgoing: list[Order] = []
        self._placed: dict[str, asyncio.Future[None]] = {}
        self._ended: dict[str, asyncio.Future[str]] = {}
        self._sending: set[asyncio.Task[object]] = set()

    async def place(self, order: Order) -> str:
        """Place an order and wait for its end."""
        loop = asyncio.get_running_loop()
        placed = self._placed[order.id] = loop.create_future()
        ended = self._ended[order.id] = loop.create_future()
        self._outgoing.append(order)
        if len(self._outgoing) == 1:
            loop.call_soon(self._send)
        async with asyncio.timeout(20):
            await placed
            return await ended

    def _send(self) -> None:
        orders, self._outgoing = self._outgoing, []
        message = aio_pika.Message(encode(orders), reply_to=self._replies)
        task = asyncio.create_task(self._channel.default_exchange.publish(message, CALLS, mandatory=False))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def take_reply(self, message: AbstractIncomingMessage) -> None:
        """Orders that are placed."""
        for key in msgspec.json.decode(message.body, type=list[str]):
            self._placed.pop(key).set_result(None)

    async def take_end(self, message: AbstractIncomingMessage) -> None:
        """Orders that have ended."""
        for end in ends_of(message.body):
            if (waiting := self._ended.pop(end.id, None)) is not None:
                waiting.set_result(end.status)


class Answer(msgspec.Struct):
    """What a client gets."""

    id: str
    buyer_id: int
    status: str
    total: int
    lines: list[Line]


def create_app(url: str) -> Litestar:
    """The door as an app."""

    @post("/orders")
    async def place_order(
        data: Annotated[Basket, Body()], buyer: Annotated[int, HeaderParameter(name="x-buyer")]
    ) -> Response[Answer]:
        key = str(UUID(bytes=uuid_utils.uuid7().bytes))
        total = sum(
            line.quantity * (line.unit_price if line.discounted_price is None else line.discounted_price)
            for line in data.lines
        )
        order = Order(key, buyer, data.lines, total)
        status = await desk[0].place(order)
        return Response(Answer(key, buyer, status, total, data.lines), headers={"Location": f"/orders/{key}"})

    desk: list[Desk] = []

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel(publisher_confirms=False)
            replies = await channel.declare_queue(exclusive=True, auto_delete=True)
            own = Desk(channel, replies.name)
            desk.append(own)
            await replies.consume(own.take_reply, no_ack=True)
            await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
            ends = await channel.declare_queue(exclusive=True, auto_delete=True)
            await ends.bind(EXCHANGE, "ended")
            await ends.consume(own.take_end, no_ack=True)
            yield

    return Litestar([place_order], lifespan=[lifespan], logging_config=None, openapi_config=None)
