"""How a replay's orders are paid: with points that their customers get first, or not at all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from deploy.local import fleet
from deploy.local.errors import FleetError
from ops.replay.crowd import run_all
from ops.replay.retail import Invoice
from ops.shop import Session, persist

# The most points that one charge may add, as the shop is set by default.
_CHARGE_MAX = 10**8
_AT_ONCE = 16


def owed(invoices: Iterable[Invoice]) -> Counter[str]:
    """What all orders of each customer come to, whether or not they will be cancelled."""
    sums: Counter[str] = Counter()
    for invoice in invoices:
        if not invoice.cancels:
            sums[invoice.customer] += sum(line.quantity * line.article.price for line in invoice.lines)
    return sums


async def charge_all(
    sessions: Mapping[str, Session], sums: Mapping[str, int], run_id: str, step: Callable[[], None]
) -> None:
    """Give every customer the points for all of his orders."""

    async def charge(customer: str) -> None:
        left, part = sums[customer], 0
        while left > 0:
            amount, key = min(left, _CHARGE_MAX), f"replay-{run_id}-{part}"
            session = sessions[customer]
            await persist(lambda: session.charge_points(amount, key))  # noqa: B023  awaited at once
            left, part = left - amount, part + 1

    await run_all([customer for customer in sums if sums[customer] > 0], charge, _AT_ONCE, step)


@asynccontextmanager
async def nothing_expires() -> AsyncIterator[None]:
    """Orders completed meanwhile wait for their payment for ever, so that a replayed shop stays as it is.

    The order service of a local run is restarted for it, before and after; a shop that runs elsewhere is as
    it was set.
    """
    try:
        await asyncio.to_thread(fleet.restart, "order", settings={"SHOP_ORDER_UNPAID_S": "0"})
    except FleetError:
        yield
        return
    try:
        yield
    finally:
        await asyncio.to_thread(fleet.restart, "order")
