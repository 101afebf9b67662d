"""When a shop has come to rest: what was under way at some moment has come to its end."""

import asyncio
from datetime import datetime
from time import monotonic

from ops.verify.one_schema import SERVICES
from ops.verify.source import Source

_LOOK_S = 0.25


async def until_rest(source: Source, at: datetime, patience_s: float) -> float:
    """Wait for what was there at a moment, for `patience_s` at most; returns how many seconds it took.

    Later orders do not count: a shop where people buy never rests as a whole.
    """
    started = monotonic()
    for is_under_way in (_orders, _payments, _outboxes, _read_side):
        while monotonic() - started < patience_s and await is_under_way(source, at):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
    return monotonic() - started


async def _orders(source: Source, at: datetime) -> bool:
    """Orders that are not settled, but for those that wait for a person to decide about their payment."""
    waiting = await source.ask("payment", "SELECT order_id FROM payments WHERE state = 'NEEDS_ATTENTION'")
    ids = [row["order_id"] for row in waiting if row["order_id"]] or [""]
    sql = "SELECT 1 FROM orders WHERE NOT settled AND created_at <= %s AND id NOT IN %s LIMIT 1"
    return bool(await source.ask("order", sql, (at, ids)))


async def _payments(source: Source, at: datetime) -> bool:
    """Payments of an unknown outcome; one that rests may still be due for a last look."""
    sql = "SELECT 1 FROM payments WHERE state IN ('ASKING', 'RELEASING') AND created_at <= %s LIMIT 1"
    return bool(await source.ask("payment", sql, (at,)))


async def _outboxes(source: Source, at: datetime) -> bool:
    sql = "SELECT 1 FROM outbox WHERE created_at <= %s LIMIT 1"
    for service in SERVICES:
        if await source.ask(service, sql, (at,)):
            return True
    return False


async def _read_side(source: Source, _at: datetime) -> bool:
    """Views that are being made again."""
    sql = "SELECT 1 FROM event_store_head WHERE folded < position OR wiping"
    return bool(await source.ask("query", sql))
