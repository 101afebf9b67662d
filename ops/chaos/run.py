"""One run: people buy while faults go on; then rest, and what it came to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from deploy.local.errors import FleetError
from ops.chaos.buying import PLACE, READ, SETTLE_S, Crowd, gather
from ops.chaos.ground import Ground
from ops.chaos.inflicting import Inflicted, inflict
from ops.chaos.journal import Journal, Watching, longest_wait, refusals
from ops.chaos.judging import KeptOrder, KeptPayment, Verdict, judge
from ops.chaos.plan import Fault
from ops.commands import ADMIN_EMAIL, admin_password
from ops.demo.stage import Stage
from ops.shop import Shop, persist
from ops.verify.books import Books, databases, examine, gateway
from ops.verify.source import Source
from order_svc.settings import OrderSettings
from shared.settings import load

READY_WITHIN_S = 120.0
_CONNECTIONS = 300


@dataclass
class Result:
    """What a run came to. `good`: nothing is lost, stuck or doubled, nobody was answered 500, and the books
    balance."""

    faults: list[Inflicted]
    journal: Journal
    verdict: Verdict
    books: Books
    not_ready: str | None
    rested_s: float
    left_out: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """See above."""
        return (
            self.verdict.good and self.books.balanced and not self.journal.errors() and self.not_ready is None
        )

    def outage(self, one: Inflicted) -> dict[str, float | int]:
        """What clients saw of a fault."""
        began_s, ended_s = one.began_s or 0.0, one.ended_s or 0.0
        wants = self.journal.wants
        return {
            "longest_wait_to_place_s": round(longest_wait(wants, PLACE, began_s, ended_s), 2),
            "longest_wait_to_read_s": round(longest_wait(wants, READ, began_s, ended_s), 2),
            "refusals": refusals(self.journal.requests, began_s, ended_s),
        }

    def errors(self) -> list[str]:
        """Answers that nobody may ever get, alike ones together, with the faults that went on meanwhile."""
        alike: dict[tuple[str, int, str], list[float]] = {}
        for one in self.journal.errors():
            alike.setdefault((one.what, one.status, one.detail), []).append(one.ended_s)
        return [
            f"{len(times)} x {what}: {status}, {min(times):.1f} to {max(times):.1f} s"
            f" (faults {', '.join(self._between(min(times), max(times))) or 'none'}): {detail}"
            for (what, status, detail), times in alike.items()
        ]

    def _between(self, began_s: float, ended_s: float) -> list[str]:
        return [
            str(one.fault.number)
            for one in self.faults
            if one.began_s is not None and one.began_s < ended_s and began_s < (one.ended_s or ended_s)
        ]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        verdict = self.verdict
        return {
            "good": self.good,
            "faults": [{**one.document(), **self.outage(one)} for one in self.faults],
            "left_out": self.left_out,
            "purchases": dict(verdict.told),
            "orders": dict(verdict.ends),
            "answers": dict(self.journal.statuses()),
            "errors": self.errors(),
            "lost": verdict.lost,
            "stuck": verdict.stuck,
            "doubled": verdict.doubled,
            "troubles": verdict.troubles,
            "unknown_but_placed": verdict.unknown_but_placed,
            "not_ready": self.not_ready,
            "rested_s": round(self.rested_s, 1),
            "books": self.books.document(),
        }


async def run(
    ground: Ground, faults: Sequence[Fault], *, orders: int, seconds: float, seed: int, buyers: int
) -> Result:
    """Buy while the faults go on, wait for all of it to come to rest, and look at everything."""
    journal = Journal(monotonic())
    async with Shop(ground.at.gateway_url, transport=Watching(journal, connections=_CONNECTIONS)) as shop:
        admin = await persist(lambda: shop.sign_in(ADMIN_EMAIL, admin_password()), timeout_s=15.0)
        stage = Stage(shop, admin, ground.at.outside_url("pg"))
        crowd = await gather(stage, journal, seed=seed, buyers=buyers)
        journal.started = monotonic()
        journal.requests.clear()
        buying = asyncio.create_task(crowd.buy(orders, seconds))
        looking = asyncio.create_task(crowd.look())
        try:
            done = await inflict(faults, ground, journal.started)
            await buying
        finally:
            for task in (buying, looking):
                task.cancel()
            await asyncio.gather(buying, looking, return_exceptions=True)
    return await _look(ground, crowd, journal, done)


async def _look(ground: Ground, crowd: Crowd, journal: Journal, done: list[Inflicted]) -> Result:
    began = monotonic()
    not_ready = None
    try:
        await ground.all_ready(READY_WITHIN_S)
    except FleetError as error:
        not_ready = str(error)
    async with databases(ground.at) as source:
        books = await examine(
            source,
            pg=gateway(ground.at),
            unpaid_s=load(OrderSettings).order_unpaid_s,
            patience_s=SETTLE_S,
        )
        verdict = judge(crowd.purchases, *await _kept(source, crowd), await _dead_letters(source))
    return Result(done, journal, verdict, books, not_ready, monotonic() - began, ground.left_out)


async def _kept(source: Source, crowd: Crowd) -> tuple[dict[str, KeptOrder], dict[str, KeptPayment]]:
    buyers = [buyer_id for _, buyer_id in crowd.buyers]
    orders = await source.ask(
        "order", "SELECT id, buyer_id, status, reason, settled FROM orders WHERE buyer_id IN %s", (buyers,)
    )
    payments = await source.ask(
        "payment", "SELECT payment_id, state FROM payments WHERE user_id IN %s", (buyers,)
    )
    return (
        {
            str(row["id"]): KeptOrder(
                str(row["id"]), row["buyer_id"], row["status"], row["reason"], bool(row["settled"])
            )
            for row in orders
        },
        {str(row["payment_id"]): KeptPayment(str(row["payment_id"]), row["state"]) for row in payments},
    )


async def _dead_letters(source: Source) -> list[str]:
    rows = await source.ask(
        "query", "SELECT queue, event_id, exception, message FROM dead_letters WHERE state = 'DEAD'"
    )
    return [
        f"{row['event_id']} of {row['queue']}: {row['exception']}: {row['message'][:120]}" for row in rows
    ]
