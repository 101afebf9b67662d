"""Placing and reading beside few and beside a million old orders."""

import asyncio
from collections.abc import Callable

from bench import seeds
from bench.figures import OURS, Aim, Key
from bench.load import Plan, load, request
from bench.market import Market, WrongBooks, open_shop
from bench.placing import place
from bench.run import Run

FEW, MANY = 10_000, 1_000_000
FEW_QUICK, MANY_QUICK = 2_000, 20_000
PLACING, DETAIL, PAGE = "p50 of placing", "p50 of reading an order", "p50 of listing orders"

AIMS = tuple(
    Aim(
        f"{what}, beside a million old orders, by ten thousand",
        Key(f"{what}, many old orders", OURS),
        Key(f"{what}, few old orders", OURS),
        at_most=1.2,
    )
    for what in (PLACING, DETAIL, PAGE)
)


async def run(bench: Run) -> None:
    """First all rounds beside few, then all beside many; rounds cannot take turns here."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    await place(market, bench.size(400, 100), clients=8)
    like = await asyncio.to_thread(_latest, market)
    try:
        for when, count in (
            ("few old orders", bench.size(FEW, FEW_QUICK)),
            ("many old orders", bench.size(MANY, MANY_QUICK)),
        ):
            bench.say(f"old: making {count:,} old orders")
            await asyncio.to_thread(_with, market, seeds.grow_orders, like, count)
            await asyncio.to_thread(_with, market, seeds.settle, bench.size(90, 2))
            for number in range(bench.rounds):
                bench.say(f"old: beside {count:,} old orders, round {number + 1}")
                await _measure(bench, market, when, like)
    finally:
        await asyncio.to_thread(_with, market, seeds.forget_orders)


async def _measure(bench: Run, market: Market, when: str, like: str) -> None:
    placed = await place(market, bench.size(600, 60), clients=4)
    bench.ledger.note(f"{PLACING}, {when}", OURS, placed.ms(0.5), "ms")
    for what, path in ((DETAIL, f"/orders/{like}"), (PAGE, "/orders?limit=20")):
        asked = [request("GET", path, **market.headers[0])]
        found = await load(Plan(market.port, asked, bench.size(1000, 100), 1))
        if set(found.ends) - {"HTTP 200", "COMPLETED"}:
            raise WrongBooks(f"{path}: {found.ends}")
        bench.ledger.note(f"{what}, {when}", OURS, found.ms(0.5), "ms")


def _latest(market: Market) -> str:
    """The first buyer's latest order: the old ones are like it."""
    with market.ground.database() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT MAX(id) FROM {market.databases[0]}.orders WHERE buyer_id = %s",
            [market.buyers[0]],
        )
        row = cursor.fetchone()
        return str(row[0]) if row else ""


def _with(market: Market, do: Callable[..., None], *arguments: object) -> None:
    with market.ground.database() as connection:
        do(connection, *arguments)
