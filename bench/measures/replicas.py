"""Several replicas on the same cores: what more processes cost when there is no more machine."""

import asyncio
from contextlib import redirect_stdout
from io import StringIO

from bench.figures import OURS, Aim, Key
from bench.market import Market, open_shop
from bench.placing import place
from bench.run import Run
from deploy.local import fleet

ONE, TWO = "orders/s, one replica of each", "orders/s, two replicas of each"

AIMS = (Aim("two replicas of every service, by one", Key(TWO, OURS), Key(ONE, OURS), at_least=0.9),)


async def run(bench: Run) -> None:
    """One and two of every service in turn; then one, two and four of the order service alone."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    every = [service.name for service in bench.ground.at.services if service.most > 1]
    try:
        for number in range(bench.rounds):
            for figure, replicas in ((ONE, 1), (TWO, 2)):
                bench.say(f"replicas: {replicas} of each, round {number + 1}")
                await _scale(bench, every, replicas)
                await _measure(bench, market, figure)
            await _scale(bench, every, 1)
            for replicas in (1, 2, 4):
                bench.say(f"replicas: {replicas} of order, round {number + 1}")
                await _scale(bench, ["order"], replicas)
                await _measure(bench, market, f"orders/s, order service times {replicas}")
    finally:
        await _scale(bench, every, 1)


async def _scale(bench: Run, services: list[str], replicas: int) -> None:
    environ = bench.ground.environ
    with redirect_stdout(StringIO()):  # they tell each other that they wait for one another
        await asyncio.gather(*(asyncio.to_thread(fleet.scale, name, replicas, environ) for name in services))


async def _measure(bench: Run, market: Market, figure: str) -> None:
    # New connections, so that the kernel spreads the clients over all gateway processes.
    await place(market, bench.size(600, 100), clients=64)
    found = await place(market, bench.size(4000, 800), clients=64)
    bench.ledger.note(figure, OURS, found.per_second, "/s")
