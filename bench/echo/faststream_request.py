"""FastStream: `@broker.subscriber` answers, `broker.request` asks."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from faststream.rabbit import RabbitBroker, RabbitQueue

QUEUE = RabbitQueue("bench.echo.faststream", auto_delete=True)


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[None]:
    """Answers until the block ends."""
    broker = _broker(url)

    @broker.subscriber(QUEUE)
    async def say(text: str) -> str:
        return text

    await broker.start()
    try:
        yield
    finally:
        await broker.stop()


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function that asks once."""
    broker = _broker(url)
    await broker.start()

    async def ask(text: str) -> str:
        answer = await broker.request(text, queue=QUEUE, timeout=10.0)
        return str(await answer.decode())

    try:
        yield ask
    finally:
        await broker.stop()


def _broker(url: str) -> RabbitBroker:
    return RabbitBroker(url, log_level=logging.DEBUG)
