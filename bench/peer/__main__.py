"""`python -m bench.peer gateway|order|item|coupon`: one process of the peer."""

import asyncio
import logging
import os
import sys

import uvloop
from faststream.rabbit import Channel, RabbitBroker
from tortoise import Tortoise

from bench.peer import coupon, item, order
from bench.peer.gateway import create_app
from bench.serving import ready, serve

PREFETCH = 32
"""So many messages are handled at once in a process; with more of them the row locks only queue up."""


def main(name: str) -> None:
    """Run until told to stop."""
    prefetch = None if name == "gateway" else PREFETCH
    broker = RabbitBroker(
        os.environ["BENCH_AMQP_URL"],
        default_channel=Channel(prefetch_count=prefetch),
        log_level=logging.DEBUG,
    )
    if name == "gateway":
        serve(create_app(broker), int(os.environ["BENCH_PORT"]))
    else:
        uvloop.run(_run(name, broker))


async def _run(name: str, broker: RabbitBroker) -> None:
    subscribe = {"order": order.subscribe, "item": item.subscribe, "coupon": coupon.subscribe}[name]
    await Tortoise.init(
        db_url=f"{os.environ['BENCH_DATABASE_URL']}peer_{name}?minsize=4&maxsize=24",
        modules={"models": ["bench.peer.models"]},
        _enable_global_fallback=True,
    )
    subscribe(broker)
    await broker.start()
    ready()
    await asyncio.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
