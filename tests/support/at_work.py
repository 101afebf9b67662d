"""A service at work in this process, which leaves no queue behind that would fill up with nobody there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika

from shared.broker import topology
from shared.service.runtime import Runtime
from shared.service.service import Service


@asynccontextmanager
async def at_work(service: Service, amqp_url: str, database_url: str) -> AsyncIterator[Runtime]:
    """`service`, connected to this broker and this database."""
    runtime = Runtime(service, service.settings(amqp_url=amqp_url, database_url=database_url))
    await runtime.start()
    try:
        for link in runtime.links:
            assert await link.wait_up(15), f"{link.name} is not up"
        yield runtime
    finally:
        await runtime.stop()
        for one in service.hears:
            await forget(topology.queue_name(service.name, one.heard), amqp_url)


async def forget(queue: str, amqp_url: str) -> None:
    """Delete a consumer's queue, and the one of its dead letters."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(queue)
        await channel.queue_delete(topology.dead_name(queue))
