"""Sagamart's own calls: `rpc.call` of `shared/rpc`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from shared import logs
from shared.messages import Call
from shared.service.runtime import Runtime
from shared.service.service import Service, answer
from shared.settings import Settings


class Echo(Call[str], name="benchecho.say", idempotent=True):
    """Say it again."""

    text: str


async def say(call: Echo) -> str:
    """What was said."""
    return call.text


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[None]:
    """Answers calls until the block ends."""
    async with _runtime(Service("benchecho", answers=[answer(say)]), url):
        yield


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function that asks once."""
    async with _runtime(Service("benchasker"), url) as runtime:

        async def ask(text: str) -> str:
            return await runtime.rpc.call(Echo(text=text))

        yield ask


@asynccontextmanager
async def _runtime(service: Service, url: str) -> AsyncIterator[Runtime]:
    logs.configure(service.app_id, "WARNING", "json")
    runtime = Runtime(service, Settings(amqp_url=url))
    await runtime.start()
    for link in runtime.links:
        await link.wait_up(10.0)
    try:
        yield runtime
    finally:
        await runtime.stop()
