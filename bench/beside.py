"""What is measured beside the shop, as processes of its own on the same broker and database server."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aio_pika

from bench import tables
from bench.ground import Ground
from bench.market import Market, open_beside
from bench.program import all_running
from deploy.local.settings import ALLOCATOR

SERVICES = ("order", "item", "coupon", "gateway")


@asynccontextmanager
async def limit(ground: Ground) -> AsyncIterator[tuple[Market, Mapping[str, int]]]:
    """The limit of the design, hand-written."""
    async with _beside(ground, "limit", "limit") as place:
        yield place


@asynccontextmanager
async def peer(ground: Ground) -> AsyncIterator[tuple[Market, Mapping[str, int]]]:
    """The same saga with FastStream and Tortoise."""
    async with _beside(ground, "FastStream + Tortoise", "peer") as place:
        yield place


@asynccontextmanager
async def _beside(ground: Ground, name: str, word: str) -> AsyncIterator[tuple[Market, Mapping[str, int]]]:
    environ = {
        **ALLOCATOR,
        "BENCH_AMQP_URL": ground.at.amqp_url,
        "BENCH_DATABASE_URL": ground.at.admin_url,
        "BENCH_PORT": str(ground.door(word)),
    }
    programs = {f"{word} {service}": ("-m", f"bench.{word}", service) for service in SERVICES}
    with ground.database() as connection:
        tables.create(connection, word)
    try:
        async with all_running(programs, environ, ground.at.logs) as pids:
            market = await asyncio.to_thread(open_beside, ground, name, word)
            yield market, {service: pids[f"{word} {service}"] for service in SERVICES}
    finally:
        with ground.database() as connection:
            tables.drop(connection, word)
        await _forget_queues(ground, word)


async def _forget_queues(ground: Ground, word: str) -> None:
    connection = await aio_pika.connect(ground.at.amqp_url)
    async with connection:
        channel = await connection.channel()
        for queue in tables.QUEUES:
            await channel.queue_delete(f"{word}.{queue}")
        await channel.exchange_delete(f"{word}.events")
