"""aio-pika as its documentation shows it: direct reply-to, a message a call, answers matched by id."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

QUEUE = "bench.echo.raw"
REPLIES = "amq.rabbitmq.reply-to"


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[None]:
    """Answers until the block ends."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(QUEUE, auto_delete=True)

        async def answer(message: AbstractIncomingMessage) -> None:
            reply = aio_pika.Message(message.body, correlation_id=message.correlation_id)
            # Not mandatory: the broker returns what goes to a direct address, although it delivers it.
            await channel.default_exchange.publish(reply, message.reply_to or "", mandatory=False)

        await queue.consume(answer, no_ack=True)
        yield


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function that asks once."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        replies = await channel.get_queue(REPLIES, ensure=False)
        waiting: dict[str, asyncio.Future[bytes]] = {}

        async def take(message: AbstractIncomingMessage) -> None:
            waiting.pop(message.correlation_id or "").set_result(message.body)

        await replies.consume(take, no_ack=True)

        async def ask(text: str) -> str:
            key = uuid4().hex
            answer = waiting[key] = asyncio.get_running_loop().create_future()
            request = aio_pika.Message(text.encode(), correlation_id=key, reply_to=REPLIES)
            await channel.default_exchange.publish(request, QUEUE)
            return (await answer).decode()

        yield ask
