"""A thousand idle event streams: what they cost in memory and, by looking again now and then, in CPU."""

import asyncio
from contextlib import AsyncExitStack

from bench.figures import OURS, Aim
from bench.load import request
from bench.market import Market, WrongBooks, open_shop
from bench.run import Run
from bench.usage import cpu_seconds, memory_mb

STREAMS = 1_000
AIMS: tuple[Aim, ...] = ()


async def run(bench: Run) -> None:
    """Opens them, lets them idle for some seconds, closes them; in every round."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    for number in range(bench.rounds):
        bench.say(f"streams: {STREAMS:,} of them, round {number + 1}")
        pids = bench.ground.service_pids()
        before = memory_mb(pids)
        async with AsyncExitStack() as stack:
            for one in range(STREAMS):
                writer = await _open(market, one)
                stack.callback(writer.close)
            idle = bench.size(12, 3)
            spent = cpu_seconds(pids)
            await asyncio.sleep(idle)
            spent = {name: seconds - spent[name] for name, seconds in cpu_seconds(pids).items()}
            bench.ledger.note("memory of 1,000 idle streams", OURS, memory_mb(pids) - before, "MB")
            bench.ledger.note("CPU of 1,000 idle streams", OURS, sum(spent.values()) / idle * 100, "%")


async def _open(market: Market, number: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", market.port)
    signed_in = market.headers[number % len(market.headers)]
    writer.write(request("GET", "/users/me/notifications/events", **signed_in))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10.0)
    if not head.startswith(b"HTTP/1.1 200"):
        raise WrongBooks(f"a stream was refused: {head[:200]!r}")
    return writer
