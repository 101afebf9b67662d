"""Placing orders and seeing that all is right afterwards."""

import asyncio
from collections.abc import Sequence

from bench.load import Found, Plan, load
from bench.market import Batch, Market, WrongBooks, checked
from bench.usage import quiet


async def place(
    market: Market,
    orders: int,
    *,
    clients: int,
    per_second: float | None = None,
    lines: int = 3,
    items: Sequence[int] | None = None,
    coupon: bool = True,
) -> Found:
    """Place so many orders and check the books.

    Raises `WrongBooks` if one of them is not completed, or if stock, coupons and orders do not agree.
    """
    batch = await asyncio.to_thread(market.batch, orders, lines=lines, items=items, coupon=coupon)
    return await place_batch(market, batch, clients=clients, per_second=per_second)


async def place_batch(
    market: Market, batch: Batch, *, clients: int, per_second: float | None = None
) -> Found:
    """The same with orders that are made already, once nothing of what was before is going on any more."""
    await quiet()
    with checked(market, batch):
        found = await load(Plan(market.port, batch.requests, len(batch.requests), clients, per_second))
        if set(found.ends) != {"COMPLETED"}:
            raise WrongBooks(f"{market.name}: {found.ends}")
    return found
