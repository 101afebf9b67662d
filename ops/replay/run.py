"""Drives invoices through the shop, many customers at once, each in his own order."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from ops.replay.retail import Article, Invoice
from ops.replay.schedule import Schedule, latest_holding
from ops.replay.summary import Tally
from ops.shop import Away, Line, Order, Refused, Session, passing, persist

# The longest that the shop holds an answer.
_WAIT_S = 20
# Longer than an order's deadline and the giving back after it.
_PATIENCE_S = 120.0


@dataclass
class Replay:
    """One run: what it needs, and what it has done so far.

    `run_id` makes the idempotency keys of this run its own: within the run a repeated request cannot order
    twice, while a second run orders anew.
    """

    run_id: str
    sessions: Mapping[str, Session]
    items: Mapping[Article, int]
    speed: float | None  # seconds of the file per second of ours; None: as fast as it goes
    pay_with: str | None = None
    step: Callable[[], None] = lambda: None
    tally: Tally = field(default_factory=Tally)
    _standing: dict[str, list[tuple[Invoice, str]]] = field(default_factory=dict)

    async def run(self, invoices: list[Invoice], width: int) -> Tally:
        """Replay the invoices with `width` in flight and return the counts."""
        schedule = Schedule(invoices)
        freed = asyncio.Condition()
        started = monotonic()
        first = invoices[0].at if invoices else None

        async def work() -> None:
            while True:
                async with freed:
                    while (invoice := schedule.take()) is None:
                        if schedule.finished:
                            return
                        await freed.wait()
                    if schedule.finished:
                        freed.notify_all()
                if first is not None:
                    await self._await_turn(invoice.at, first, started)
                await self._replay(invoice)
                self.step()
                async with freed:
                    schedule.done(invoice)
                    freed.notify()

        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(work())
        self.tally.seconds = monotonic() - started
        return self.tally

    async def _await_turn(self, at: datetime, first: datetime, started: float) -> None:
        if self.speed is not None:
            due = started + (at - first).total_seconds() / self.speed
            await asyncio.sleep(max(0.0, due - monotonic()))

    async def _replay(self, invoice: Invoice) -> None:
        if invoice.cancels:
            await self._cancel(invoice)
        else:
            await self._place(invoice)

    async def _place(self, invoice: Invoice) -> None:
        session = self.sessions[invoice.customer]
        lines = [Line(self.items[line.article], line.quantity, line.article.price) for line in invoice.lines]
        key = f"replay-{self.run_id}-{invoice.number}"
        started = monotonic()
        try:
            order = await persist(
                lambda: session.place(lines, pay_with=self.pay_with, key=key, wait_s=_WAIT_S)
            )
            if not order.settled:
                order = await session.until_settled(order.id, timeout_s=_PATIENCE_S)
        except (Away, Refused) as error:
            lost = passing(error)
            self.tally.orders["no answer" if lost else f"refused: {_status(error)}"] += 1
            self.tally.troubles.append(f"invoice {invoice.number} (line {invoice.row}): {error}")
            return
        self._count(invoice, order, monotonic() - started)

    def _count(self, invoice: Invoice, order: Order, seconds: float) -> None:
        self.tally.orders[_outcome(order)] += 1
        if not order.settled:
            self.tally.troubles.append(f"invoice {invoice.number}: order {order.id} is still {order.status}")
            return
        self.tally.settled_s.append(seconds)
        if order.status == "COMPLETED":
            self._standing.setdefault(invoice.customer, []).append((invoice, order.id))

    async def _cancel(self, invoice: Invoice) -> None:
        standing = self._standing.get(invoice.customer, [])
        bought = latest_holding(invoice, [earlier for earlier, _ in standing])
        if bought is None:
            self.tally.cancellations["unmatched"] += 1
            return
        entry = next(pair for pair in standing if pair[0] is bought)
        session, order_id = self.sessions[invoice.customer], entry[1]
        try:
            await persist(lambda: session.cancel(order_id))
            order = await session.until(
                order_id, lambda seen: seen.settled and seen.status != "COMPLETED", timeout_s=_PATIENCE_S
            )
        except (Away, Refused) as error:
            self.tally.cancellations["no answer" if passing(error) else f"refused: {_status(error)}"] += 1
            self.tally.troubles.append(f"C invoice {invoice.number} (line {invoice.row}): {error}")
            return
        standing.remove(entry)
        self.tally.cancellations["matched"] += 1
        # An order counts once, by how it ended.
        self.tally.orders -= Counter({"COMPLETED": 1})
        self.tally.orders[_outcome(order)] += 1


def _outcome(order: Order) -> str:
    if not order.settled:
        return "no final state"
    return f"{order.status} ({order.reason})" if order.reason else order.status


def _status(error: Exception) -> str:
    return f"{error.status} {error.problem.title}" if isinstance(error, Refused) else type(error).__name__
