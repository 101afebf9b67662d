"""A hundred thousand events that an outage of the broker left in the outbox, drained while orders go on."""

import asyncio
import time

from bench import seeds
from bench.figures import OURS, Aim, Key
from bench.market import Market, open_shop
from bench.placing import place
from bench.run import Run
from bench.usage import memory_mb
from deploy.local import fleet

ROWS, ROWS_QUICK = 100_000, 10_000
RATE = "outbox rows drained"
NEW_ORDERS = 10.0
LOOK_S = 0.05
PATIENCE_S = 300.0

AIMS = (Aim("backlog drained while orders go on (rows/s)", Key(RATE, OURS), None, at_least=5_000),)


async def run(bench: Run) -> None:
    """Stops the broker, fills the outbox, starts the broker; counts from the first row that leaves."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    rows = bench.size(ROWS, ROWS_QUICK)
    environ = bench.ground.environ
    for number in range(bench.rounds):
        bench.say(f"backlog: {rows:,} rows, round {number + 1}")
        await place(market, 100, clients=8)
        order = {"order": bench.ground.service_pids()["order"]}
        before = memory_mb(order)
        await asyncio.to_thread(fleet.stop, "broker", environ)
        try:
            await asyncio.to_thread(_fill, market, rows)
        finally:
            await asyncio.to_thread(fleet.start, "broker", environ)
        drained = asyncio.create_task(_drained(market, rows, order))
        await asyncio.to_thread(_ready, bench)
        orders = await place(market, bench.size(100, 30), clients=64, per_second=NEW_ORDERS)
        seconds, peak = await drained
        bench.ledger.note(RATE, OURS, rows / seconds, "/s")
        bench.ledger.note("memory of the order service, highest by before", OURS, peak / before, "")
        bench.ledger.note("p50 to COMPLETED at 10 orders/s meanwhile", OURS, orders.ms(0.5), "ms")


def _fill(market: Market, rows: int) -> None:
    with market.ground.database() as connection:
        seeds.fill_outbox(connection, rows, market.buyers[0])


def _ready(bench: Run) -> None:
    for service in bench.ground.at.services:
        fleet.await_ready(service.name, bench.ground.environ)


async def _drained(market: Market, rows: int, order: dict[str, int]) -> tuple[float, float]:
    """Seconds from the first row that leaves to the last, and the highest memory in MB."""
    deadline = time.monotonic() + PATIENCE_S
    started: float | None = None
    peak = 0.0
    with market.ground.database() as connection:
        while (left := await asyncio.to_thread(seeds.waiting, connection)) > 0:
            now = time.monotonic()
            if left == rows:
                started = now
            peak = max(peak, memory_mb(order))
            if now > deadline:
                raise TimeoutError(f"{left:,} of {rows:,} rows still wait after {PATIENCE_S:g} s")
            await asyncio.sleep(LOOK_S)
    return max(time.monotonic() - (started or 0.0), LOOK_S), max(peak, memory_mb(order))
