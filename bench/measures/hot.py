"""Everybody buys the same item, against everybody something else; and with stock for half of them."""

import asyncio

from bench.figures import OURS, Aim, Key
from bench.load import Plan, load
from bench.market import Market, WrongBooks, new_items, open_shop
from bench.placing import place
from bench.run import Run

HOT, SPREAD = "orders/s, all of one item", "orders/s, spread over 60 items"
CLIENTS = 64

AIMS = (Aim("hot item, orders/s, by spread load", Key(HOT, OURS), Key(SPREAD, OURS), at_least=0.9),)


async def run(bench: Run) -> None:
    """Orders of one line, hot and spread in turn; then as many buyers as there are halves of the stock."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    orders = bench.size(4000, 800)
    await place(market, orders // 8, clients=16, lines=1, coupon=False)
    for number in range(bench.rounds):
        for figure, items in ((SPREAD, market.items), (HOT, market.items[:1])):
            bench.say(f"hot: {figure}, round {number + 1}")
            found = await place(market, orders, clients=CLIENTS, lines=1, items=items, coupon=False)
            bench.ledger.note(figure, OURS, found.per_second, "/s")
        bench.say(f"hot: stock for half of them, round {number + 1}")
        await _half(bench, market, orders // 2)


async def _half(bench: Run, market: Market, stock: int) -> None:
    """Twice as many buyers as pieces. Raises `WrongBooks` unless each piece is sold once."""
    [item] = await new_items(bench.ground, 1, stock)
    batch = await asyncio.to_thread(market.batch, stock * 2, lines=1, items=[item], coupon=False)
    found = await load(Plan(market.port, batch.requests, stock * 2, CLIENTS))
    left = await asyncio.to_thread(market.stock_of, item)
    if found.ends != {"COMPLETED": stock, "FAIL": stock} or left != 0:
        raise WrongBooks(f"stock for {stock} of {stock * 2} buyers: {found.ends}, {left} left")
    bench.ledger.note("orders/s, one item, stock for half", OURS, found.per_second, "/s")
