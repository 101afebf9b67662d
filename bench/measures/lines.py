"""Orders of 1, 10, 100 and 1,000 lines."""

import asyncio

from bench.figures import OURS, Aim
from bench.market import new_items, open_shop
from bench.placing import place
from bench.run import Run

SIZES = {1: 400, 10: 400, 100: 100, 1000: 20}
"""How many orders of so many lines are placed in a round."""
AIMS: tuple[Aim, ...] = ()


async def run(bench: Run) -> None:
    """Sixteen clients; every line is another item."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    items = await new_items(bench.ground, max(SIZES))
    await place(market, 32, clients=16)
    for number in range(bench.rounds):
        for lines, orders in SIZES.items():
            bench.say(f"lines: {lines} a line, round {number + 1}")
            count = max(4, orders // bench.size(1, 4))
            found = await place(market, count, clients=4, lines=lines, items=items, coupon=False)
            bench.ledger.note(f"p50 of orders of {lines} lines, 4 clients", OURS, found.ms(0.5), "ms")
            bench.ledger.note(f"lines/s in orders of {lines}", OURS, found.per_second * lines, "/s")
