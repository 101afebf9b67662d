"""aio-pika's own `patterns.RPC`, with its JSON form."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.patterns import JsonRPC

METHOD = "bench.echo.patterns"


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[None]:
    """Answers until the block ends."""
    connection = await aio_pika.connect(url)
    async with connection:
        rpc = await JsonRPC.create(await connection.channel())

        async def say(*, text: str) -> str:
            return text

        await rpc.register(METHOD, say, auto_delete=True)
        yield


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function that asks once."""
    connection = await aio_pika.connect(url)
    async with connection:
        rpc = await JsonRPC.create(await connection.channel())

        async def ask(text: str) -> str:
            return await rpc.call(METHOD, {"text": text})

        yield ask
