"""Orders of three lines and a coupon, through HTTP until COMPLETED: ours, the limit of the design, a peer."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from bench import beside
from bench.figures import OURS, Aim, Key
from bench.load import Found
from bench.market import Market, open_shop
from bench.placing import place, place_batch
from bench.run import Run
from bench.usage import cpu_seconds, memory_mb

CLIENTS = (16, 64, 256)
BEST = "orders/s, best"
CALM = "p50 to COMPLETED at 10 orders/s"
MEMORY = "memory of services and gateway, after"
CALM_RATE = 10.0
LIMIT, PEER = "limit", "FastStream + Tortoise"

AIMS = (
    Aim("saga orders/s, best client count, by the limit", Key(BEST, OURS), Key(BEST, LIMIT), at_least=0.5),
    Aim("... by FastStream + Tortoise", Key(BEST, OURS), Key(BEST, PEER), at_least=15),
    Aim("p50 to COMPLETED at 10 orders/s, by the limit", Key(CALM, OURS), Key(CALM, LIMIT), at_most=1.5),
    Aim("... by FastStream + Tortoise", Key(CALM, OURS), Key(CALM, PEER), at_most=1),
    Aim("summed memory of services and gateway (MB)", Key(MEMORY, OURS), None, at_most=450),
)


async def run(bench: Run) -> None:
    """Every contestant in every round; each is alone at work, while the others are idle."""
    await asyncio.to_thread(bench.ground.shop)
    servers = bench.ground.server_pids()
    async with AsyncExitStack() as stack:
        places: list[tuple[Market, Mapping[str, int]]] = [
            (await open_shop(bench.ground), bench.ground.service_pids()),
            await stack.enter_async_context(beside.limit(bench.ground)),
            await stack.enter_async_context(beside.peer(bench.ground)),
        ]
        bench.ledger.note("memory of services and gateway, idle", OURS, memory_mb(places[0][1]), "MB")
        for market, _ in places:
            await place(market, bench.size(500, 100), clients=16)
        for number in range(bench.rounds):
            best = {market.name: 0.0 for market, _ in places}
            for clients in CLIENTS if not bench.quick else CLIENTS[1:2]:
                for market, pids in places:
                    bench.say(f"saga: {market.name}, {clients} clients, round {number + 1}")
                    found = await _throughput(bench, market, {**pids, **servers}, clients)
                    best[market.name] = max(best[market.name], found.per_second)
            for market, pids in places:
                bench.ledger.note(BEST, market.name, best[market.name], "/s")
                bench.ledger.note(MEMORY, market.name, memory_mb(pids), "MB")
            for market, _ in places:
                bench.say(f"saga: {market.name}, at 10 orders/s and at half load, round {number + 1}")
                await _calm(bench, market, CALM_RATE, "at 10 orders/s", bench.size(15, 3))
                half = best[market.name] / 2
                await _calm(bench, market, half, "at half load", bench.size(5, 2))


async def _throughput(bench: Run, market: Market, pids: Mapping[str, int], clients: int) -> Found:
    quick, full = (150, 600) if market.name == PEER else (1500, 5000)
    batch = await asyncio.to_thread(market.batch, bench.size(full, quick))
    before = cpu_seconds(pids)
    found = await place_batch(market, batch, clients=clients)
    after = cpu_seconds(pids)
    orders = len(found.times)
    bench.ledger.note(f"orders/s, {clients} clients", market.name, found.per_second, "/s")
    bench.ledger.note(f"p50, {clients} clients", market.name, found.ms(0.5), "ms")
    spent = {name: after[name] - before[name] for name in pids} | {"client": found.cpu_s}
    if clients == 64:
        for name, seconds in spent.items():
            bench.ledger.note(f"CPU per order: {name}", market.name, seconds / orders * 1e6, "us")
        bench.ledger.note("CPU per order: all", market.name, sum(spent.values()) / orders * 1e6, "us")
    return found


async def _calm(bench: Run, market: Market, per_second: float, when: str, seconds: int) -> None:
    found = await place(
        market,
        max(1, int(per_second * seconds)),
        clients=min(256, 8 + int(per_second)),
        per_second=per_second,
    )
    for text, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        bench.ledger.note(f"{text} to COMPLETED {when}", market.name, found.ms(share), "ms")
