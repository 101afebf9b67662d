"""Exchanges, queues and bindings of a whole shop: `python -m shared.declare order_svc item_svc ...`.

It is run before anybody publishes, for what no queue takes is lost. Queues that an earlier release declared
otherwise are made anew, one at a time, with all that is in them (`broker/moving.py`); one that is consumed is
left as it is, and said so. One process at a time does this; a second run changes nothing.
"""

import argparse
import asyncio
import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import AMQPError, ChannelLockedResource

from shared import crash, logs
from shared.addresses import AMQP, Servers
from shared.broker import topology
from shared.broker.connecting import connect
from shared.broker.moving import InUse, bring_about, finish, is_unfinished
from shared.broker.topology import Queue
from shared.errors import describe
from shared.logs import log
from shared.service.service import Service
from shared.settings import Settings, load

BROKER_SECONDS = 120.0
SETTLED_SECONDS = 2.0
"""So long a broker that has just started has for its queues. One that deletes a queue whose worker for dead
letters is only starting (seen with 3.10.8) loses all of these workers, and declares no such queue again."""
LOCK = "shop.declaring"
"""An exclusive queue: whoever has it declares, the others wait."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m shared.declare", description=__doc__)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="such as order_svc")
    packages = parser.parse_args().packages
    settings = load(Settings)
    logs.configure("declare", settings.log_level, settings.log_format)
    crash.arm(settings.crash_at, settings.crash_marker)
    services = [importlib.import_module(f"{package}.service").service for package in packages]
    for left in asyncio.run(declare_all(services, settings)):
        print(f"left as it is: {left}", flush=True)


def queues_of(service: Service, retry_delays: Iterable[float]) -> list[Queue]:
    """The queues that outlive a service's processes: first the one into which another's messages go."""
    strange_calls = [topology.strange_calls_queue(service.name)] if service.answers else []
    retries = [topology.retry_queue(service.name, delay) for delay in retry_delays if service.hears]
    heard = [queue for one in service.hears for queue in topology.event_queues(service.name, one.heard)]
    return [*retries, *heard, *strange_calls]


async def declare_all(services: Sequence[Service], settings: Settings) -> list[str]:
    """Declare everything that the services register; returns why queues were left as they are.

    Waits for a broker that is only starting, for two minutes at most.
    """
    connection = await _connected(Servers(settings.amqp_url, AMQP))
    async with connection:
        await _lock(connection)
        async with connection.channel() as channel:
            await topology.declare_rpc_exchange(channel)
            for service in services:
                await topology.declare_events_exchange(channel, service.name)
        unfinished = await is_unfinished(connection)
        left: list[str] = []
        moved = 0
        settled_at = asyncio.get_running_loop().time() + SETTLED_SECONDS

        async def settled() -> None:
            await asyncio.sleep(settled_at - asyncio.get_running_loop().time())

        for queue in (one for each in services for one in queues_of(each, settings.retry_delays)):
            try:
                moved += await bring_about(connection, queue, unfinished=unfinished, before_deletion=settled)
            except InUse as error:
                left.append(str(error))
                log.warning("queue.left", queue=queue.name, **describe(error))
        if unfinished or moved or left:
            await finish(connection)
    log.info("declare.done", services=len(services), made_anew=moved, left=len(left))
    return left


async def _connected(servers: Servers) -> AbstractConnection:
    deadline = asyncio.get_running_loop().time() + BROKER_SECONDS
    while True:
        try:
            return await connect(servers.now(), "declare")
        except (AMQPError, OSError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise SystemExit(f"no broker to declare queues at: {describe(error)}") from error
        await asyncio.sleep(0.3)


async def _lock(connection: AbstractConnection) -> None:
    """Wait until nobody else does this; the lock goes with the connection."""
    while True:
        channel = await connection.channel()
        try:
            await channel.declare_queue(LOCK, exclusive=True)
            return
        except ChannelLockedResource:
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
