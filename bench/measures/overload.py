"""More orders than the shop can fulfil: an open loop, the shop on one processor and the load on another.

What counts are orders COMPLETED, not answers; requests leave at their time, whatever became of those before.
"""

import asyncio
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from bench.cores import apart
from bench.figures import OURS, Aim, Key, Ledger, at_share
from bench.load import Found, Plan, load
from bench.market import Market, WrongBooks, open_shop
from bench.plot import Curve, draw_curves
from bench.run import Run
from bench.usage import cpu_seconds, quiet
from shared.clock import aware, utc_now

BELOW = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Of what a closed loop does; the best that is completed of these is what the others are held against."""
ABOVE = (2.0, 3.0, 5.0)
"""Of that best."""
HIGH = 3.0
CLIENTS, CONNECTIONS = 96, 1000
SETTLED_WITHIN_S = 60.0
REST_S = 5.0
LONE = 15

DONE = "orders COMPLETED"
TOOK = "p99 to COMPLETED"
ACCEPTED, REFUSED = "p99 to 202", "p99 of refusals"
LOST = "accepted orders not completed"
OFFERED = "orders offered"
ALONE = "p50 of a lone order"
GREW = "most memory of a process, by before"
BEST = "best"


def at(factor: float) -> str:
    """A load, as the table calls it."""
    return f"{factor:g} x best"


AIMS = (
    Aim("COMPLETED/s at 3 x the best, by the best", Key(DONE, at(HIGH)), Key(DONE, BEST), at_least=0.8),
    Aim("p99 to 202 at 3 x (ms)", Key(ACCEPTED, at(HIGH)), None, at_most=1500),
    Aim("p99 to COMPLETED at 3 x (ms)", Key(TOOK, at(HIGH)), None, at_most=5000),
    Aim("accepted orders not completed at 3 x", Key(LOST, at(HIGH)), None, at_most=0),
    Aim("p99 of refusals at 3 x (ms)", Key(REFUSED, at(HIGH)), None, at_most=100),
    Aim("a lone order 5 s after, by before", Key(ALONE, "after"), Key(ALONE, "before"), at_most=1.2),
    Aim("most memory of a process at 3 x, by before", Key(GREW, at(HIGH)), None, at_most=1.3),
)


async def run(bench: Run) -> None:
    """All loads in every round, the smaller ones first."""
    await asyncio.to_thread(bench.ground.shop)
    market = await open_shop(bench.ground)
    services = bench.ground.service_pids()
    seconds = bench.size(60, 15)
    with apart({**services, **bench.ground.server_pids()}) as are_apart:
        if not are_apart:
            bench.ledger.say("overload: there is one processor only, for shop and load together")
        for number in range(bench.rounds):
            bench.say(f"overload: a closed loop, round {number + 1}")
            await quiet()
            closed = await _closed(market, bench.size(4000, 1500))
            bench.ledger.note(f"orders/s, closed loop of {CLIENTS}", OURS, closed, "/s")
            best = 0.0
            for share in BELOW:
                who = f"{share:g} x closed"
                best = max(best, await _offer(bench, market, services, who, share * closed, seconds))
            bench.ledger.note(DONE, BEST, best, "/s")
            await quiet()
            bench.ledger.note(ALONE, "before", await _lone(market), "ms")
            for factor in ABOVE:
                await _offer(bench, market, services, at(factor), factor * best, seconds)
                if factor == HIGH:
                    await asyncio.sleep(REST_S)
                    bench.ledger.note(ALONE, "after", await _lone(market), "ms")


def draw(path: Path, ledger: Ledger) -> None:
    """What was completed, and how long it took, by what was offered."""
    loads = [key.who for key in ledger.values if key.figure == OFFERED]

    def curve(figure: str) -> Curve:
        points = ((ledger.median(Key(OFFERED, who)), ledger.median(Key(figure, who))) for who in loads)
        return Curve(figure, sorted((x, y) for x, y in points if x is not None and y is not None))

    draw_curves(path, "By orders offered a second", [curve(DONE)], [curve(TOOK), curve(ACCEPTED)])


async def _closed(market: Market, count: int) -> float:
    batch = await asyncio.to_thread(market.batch, count)
    found = await load(Plan(market.port, batch.requests, count, CLIENTS))
    if set(found.ends) != {"COMPLETED"}:
        raise WrongBooks(f"{market.name}: {found.ends}")
    return found.per_second


async def _lone(market: Market) -> float:
    batch = await asyncio.to_thread(market.batch, LONE)
    return (await load(Plan(market.port, batch.requests, LONE, 1))).ms(0.5)


async def _offer(
    bench: Run, market: Market, services: Mapping[str, int], who: str, per_second: float, seconds: float
) -> float:
    """Offer so many orders a second for so long; returns how many were completed a second meanwhile."""
    bench.say(f"overload: {per_second:,.0f} orders/s ({who}) for {seconds:g} s")
    batch = await asyncio.to_thread(market.batch, max(1, int(per_second * seconds)), wait=None)
    await quiet()
    began = utc_now()
    before = cpu_seconds(services)
    with _memory(services) as grew:
        plan = Plan(market.port, batch.requests, len(batch.requests), CONNECTIONS, per_second)
        found = await load(plan)
    spent = {name: seconds - before[name] for name, seconds in cpu_seconds(services).items()}
    bench.ledger.note("gateway's part of the processor", who, spent["gateway"] / found.seconds * 100, "%")
    orders = await _settled(market, began)
    done = [order for order in orders if order.status == "COMPLETED"]
    first = min((order.placed for order in orders), default=began)
    rate = sum((order.ended - first).total_seconds() <= found.seconds for order in done) / found.seconds
    _note(bench.ledger, who, found, orders, rate, per_second)
    bench.ledger.note(GREW, who, max(grew.values(), default=1.0), "x")
    if grew:
        bench.ledger.say(f"{who}: {max(grew, key=grew.__getitem__)} grew most")
    return rate


class _Order:
    """How an order ended."""

    __slots__ = ("ended", "placed", "reason", "status", "took")

    def __init__(self, status: str, reason: str | None, placed: datetime, ended: datetime) -> None:
        self.status = status
        self.reason = reason
        self.placed, self.ended = aware(placed), aware(ended)
        self.took = (ended - placed).total_seconds()


def _note(
    ledger: Ledger, who: str, found: Found, orders: Sequence[_Order], rate: float, offered: float
) -> None:
    ledger.note(OFFERED, who, offered, "/s")
    ledger.note(DONE, who, rate, "/s")
    accepted = found.ended("PENDING", "COMPLETED")
    refused = found.ended("HTTP 503")
    others = {
        end: count for end, count in found.ends.items() if not end.startswith(("PEND", "COMP", "HTTP 503"))
    }
    if others:
        ledger.say(f"{who}: {others}")
    done = sorted(order.took for order in orders if order.status == "COMPLETED")
    lost = Counter(order.reason or order.status for order in orders if order.status != "COMPLETED")
    if lost:
        ledger.say(f"{who}: accepted, but {dict(lost)}")
    ledger.note("accepted", who, 100 * len(accepted) / max(1, len(found.times)), "%")
    for figure, times in ((ACCEPTED, accepted), (REFUSED, refused), (TOOK, done)):
        if times:
            ledger.note(figure, who, at_share(sorted(times), 0.99) * 1000, "ms")
    ledger.note("p99 of the load's own lateness", who, at_share(sorted(found.late), 0.99) * 1000, "ms")
    if done:
        ledger.note("p50 to COMPLETED", who, statistics.median(done) * 1000, "ms")
    ledger.note(LOST, who, sum(lost.values()), "")


async def _settled(market: Market, since: datetime) -> list[_Order]:
    """The orders placed since then, once none of them is pending."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while True:
        rows = await asyncio.to_thread(_orders, market, since)
        if all(row[0] != "PENDING" for row in rows) or time.monotonic() > deadline:
            return [_Order(*row) for row in rows]
        await asyncio.sleep(1)


def _orders(market: Market, since: datetime) -> list[Any]:
    database = market.databases[0]
    with market.ground.database() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT o.status, o.reason, o.created_at, COALESCE(h.at, o.updated_at) FROM {database}.orders o"
            f" LEFT JOIN {database}.order_history h ON h.order_id = o.id AND h.what = 'ORDER_COMPLETED'"
            " WHERE o.created_at >= %s AND o.buyer_id IN %s",
            [since.replace(tzinfo=None), market.buyers],
        )
        return list(cursor.fetchall())


@contextmanager
def _memory(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """How much each of these grew in this block, filled in at its end: by its most, looked at each second."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    most = dict(before)

    async def look() -> None:
        while True:
            for name, process in processes.items():
                most[name] = max(most[name], process.memory_info().rss)
            await asyncio.sleep(1)

    looking = asyncio.ensure_future(look())
    grew: dict[str, float] = {}
    try:
        yield grew
    finally:
        looking.cancel()
        with contextlib.suppress(psutil.NoSuchProcess):
            grew |= {name: most[name] / before[name] for name in pids}
