"""`python -m bench.limit gateway|order|item|coupon`: one process of the limit."""

import asyncio
import os
import sys
from urllib.parse import unquote, urlsplit

import aio_pika
import aiomysql
import uvloop
from aio_pika import ExchangeType

from bench.limit import services
from bench.limit.door import CALLS, create_app
from bench.limit.messages import orders_of, verdicts_of
from bench.limit.wire import EXCHANGE, Service
from bench.serving import ready, serve
from shared.collation import SET_NAMES


def main(name: str) -> None:
    """Run until told to stop."""
    amqp = os.environ["BENCH_AMQP_URL"]
    if name == "gateway":
        serve(create_app(amqp), int(os.environ["BENCH_PORT"]))
    else:
        uvloop.run(_run(name, amqp, os.environ["BENCH_DATABASE_URL"]))


async def _run(name: str, amqp: str, database: str) -> None:
    parts = urlsplit(database)
    pool = await aiomysql.create_pool(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        db=f"limit_{name}",
        charset="utf8mb4",
        init_command=f"{SET_NAMES}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        minsize=4,
        maxsize=12,
    )
    connection = await aio_pika.connect(amqp)
    channel = await connection.channel()
    exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
    service = Service(connection, exchange, pool)
    match name:
        case "order":
            await service.answer(CALLS, orders_of, services.place)
            await service.hear("limit.reserved", "reserved", verdicts_of, services.count_items)
            await service.hear("limit.applied", "applied", verdicts_of, services.count_coupons)
        case "item":
            await service.hear("limit.item", "placed", orders_of, services.reserve)
        case "coupon":
            await service.hear("limit.coupon", "placed", orders_of, services.apply)
        case _:
            raise SystemExit(f"there is no {name!r}")
    service.start(service.forget())
    ready()
    await asyncio.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
