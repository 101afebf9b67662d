"""A hundred thousand orders, one after another: does memory stay where it is?"""

import asyncio

from bench.figures import OURS, Aim, Key
from bench.market import open_shop
from bench.placing import place
from bench.run import Run
from bench.usage import memory_mb

PART = 10_000
EARLY, LATE = "memory of services and gateway, after the first tenth", "... after all orders"

AIMS = (Aim("memory after 100,000 orders, by after 10,000", Key(LATE, OURS), Key(EARLY, OURS), at_most=1.05),)


async def run(bench: Run) -> None:
    """Ten parts of ten thousand orders each (of two hundred, where it is to be quick), once."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    pids = bench.ground.service_pids()
    for part in range(10):
        bench.say(f"long: part {part + 1} of 10")
        await place(market, bench.size(PART, 200), clients=64)
        if part == 0:
            bench.ledger.note(EARLY, OURS, memory_mb(pids), "MB")
    bench.ledger.note(LATE, OURS, memory_mb(pids), "MB")
