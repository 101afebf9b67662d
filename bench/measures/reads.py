"""Reading through the gateway, against one Litestar process with Tortoise on the same tables."""

import asyncio

from bench.figures import OURS, Aim, Key
from bench.load import Plan, load, request
from bench.market import Market, WrongBooks, open_shop
from bench.placing import place
from bench.program import running
from bench.run import Run

BARE = "bare Litestar + Tortoise"
ITEM, PAGE, ORDER = "GET /items/{id}", "GET /items?limit=20", "GET /orders/{id}"

AIMS = (
    Aim(
        "GET /items/{id} through the gateway, by a bare endpoint",
        Key(f"{ITEM}, 64 clients", OURS),
        Key(f"{ITEM}, 64 clients", BARE),
        at_least=0.5,
    ),
)


async def run(bench: Run) -> None:
    """Three kinds of reading, each at both doors, with 64 clients and with one."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    await place(market, 64, clients=8)
    orders = await asyncio.to_thread(_orders_of, market, 0)
    signed_in = market.headers[0]
    kinds = {
        ITEM: [request("GET", f"/items/{item}") for item in market.items],
        PAGE: [request("GET", "/items?limit=20")],
        ORDER: [request("GET", f"/orders/{order}", **signed_in) for order in orders],
    }
    environ = {
        "BENCH_DATABASE_URL": bench.ground.at.admin_url,
        "BENCH_PORT": str(bench.ground.door("bare")),
    }
    async with running(["-m", "bench.bare"], environ, bench.ground.at.logs / "bare.log"):
        doors = {OURS: market.port, BARE: bench.ground.door("bare")}
        for number in range(bench.rounds):
            for kind, requests in kinds.items():
                for who, port in doors.items():
                    bench.say(f"reads: {kind}, {who}, round {number + 1}")
                    await _read(bench, kind, who, port, requests)


async def _read(bench: Run, kind: str, who: str, port: int, requests: list[bytes]) -> None:
    many = await load(Plan(port, requests, bench.size(6000, 800), 64))
    alone = await load(Plan(port, requests, bench.size(300, 50), 1))
    for found in (many, alone):
        if set(found.ends) - {"HTTP 200", "COMPLETED"}:
            raise WrongBooks(f"{kind}, {who}: {found.ends}")
    bench.ledger.note(f"{kind}, 64 clients", who, many.per_second, "/s")
    bench.ledger.note(f"{kind}, p50 of one client", who, alone.ms(0.5), "ms")


def _orders_of(market: Market, buyer: int) -> list[str]:
    with market.ground.database() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {market.databases[0]}.orders WHERE buyer_id = %s ORDER BY id DESC LIMIT 50",
            [market.buyers[buyer]],
        )
        return [row[0] for row in cursor.fetchall()]
