"""The views: what is kept of the events for quick reading. All of it can be made again from the store.

Whoever writes here holds the store's head. An event is added to the views once, in the transaction that adds
it to the store, or (after a rebuild began) in the one that moves the head's `folded` past it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from query_svc import facts
from query_svc.domain import Changes, HourFigures, Kept, Order, Sale, count, learn
from query_svc.facts import ItemEvent, Line, OrderEvent, OrderPlaced, StockReserved
from shared.database import Reader, Row, Select, Transaction, columns, values
from shared.errors import describe
from shared.logs import log
from shared.messages import View

TABLES = ("order_views", "item_names", "item_sales", "sales_hours")

READ = sorted(kind.wire_name for kind in (*get_args(OrderEvent), *get_args(ItemEvent)))
"""The events that mean something to the views."""

_FACTS = Order.__struct_fields__
"""What is known of an order, in columns of the same names."""
_json = msgspec.json.Encoder()


class _OrderLines(Row):
    order_id: UUID
    lines: list[Line] | None


class _Name(Row):
    item_id: int
    name: str


class _ToldName(Row):
    item_id: int
    version: int
    told_at: datetime
    name: str


class _Counted(Row):
    settled: bool
    count: int


class Seller(Row):
    """What was sold of an item in a period."""

    item_id: int
    quantity: int
    revenue: int


class SalesHour(HourFigures, kw_only=True):
    """An hour and its figures."""

    hour: datetime


_ORDERS = Select(Order, "FROM order_views")
_ORDERS_OF = _ORDERS + "WHERE order_id IN %s"
_LINES = Select(_OrderLines, "FROM order_views WHERE order_id IN %s AND `lines` IS NOT NULL")
_COUNTED = Select(_Counted, "FROM order_views GROUP BY settled", made={"count": "COUNT(*)"})
_NAMES = Select(_Name, "FROM item_names WHERE item_id IN %s")
_TOLD_NAMES = Select(_ToldName, "FROM item_names WHERE item_id IN %s")
_SELLERS = Select(Seller, "FROM item_sales WHERE period = %s AND start = %s AND quantity > 0")
_HOURS = Select(SalesHour, "FROM sales_hours WHERE hour >= %s AND hour < %s ORDER BY hour")


async def fold(tx: Transaction, events: Iterable[Kept]) -> None:
    """Add what these events tell to the views."""
    orders: list[tuple[OrderEvent, datetime]] = []
    items: list[tuple[ItemEvent, datetime]] = []
    for event in events:
        news = _read(event)
        if isinstance(news, OrderEvent):
            orders.append((news, event.time))
        elif isinstance(news, ItemEvent):
            items.append((news, event.time))
    await _learn_names(tx, items)
    await _learn_orders(tx, orders)


def _read(event: Kept) -> View | None:
    try:
        return facts.read(event.event_type, event.event_data)
    except msgspec.DecodeError as error:
        # It is in the store for good; whoever mends the cause can have the views made again.
        log.warning("view.unreadable", message_id=event.message_id, type=event.event_type, **describe(error))
        return None


# Orders --------------------------------------------------------------------------------------------------


async def _learn_orders(tx: Transaction, news: Sequence[tuple[OrderEvent, datetime]]) -> None:
    orders = await read_orders(tx, {event.order_id for event, _ in news})
    before = {order_id: astuple(order) for order_id, order in orders.items()}
    sales = {order_id: order.sale for order_id, order in orders.items()}
    lines: dict[UUID, list[Line]] = {}
    for event, at in news:
        order = orders.setdefault(event.order_id, Order(order_id=event.order_id, last_event_at=at))
        learn(order, event, at)
        if isinstance(event, OrderPlaced):
            lines[event.order_id] = event.lines
    changed = [order for order in orders.values() if order.sale != sales.get(order.order_id, Sale())]
    unread = {order.order_id for order in changed} - lines.keys()
    known = lines | await read_lines(tx, unread)
    changes = Changes()
    for order in changed:
        count(changes, order, sales.get(order.order_id, Sale()), known[order.order_id])
    await _save_orders(tx, orders.values(), before, lines)
    await _add_figures(tx, changes)


async def read_orders(db: Reader, order_ids: Iterable[UUID]) -> dict[UUID, Order]:
    """The facts known of some orders."""
    [found] = await db.ask(_ORDERS_OF.among({*map(str, order_ids)}))
    return {order.order_id: order for order in found}


async def read_lines(db: Reader, order_ids: Iterable[UUID]) -> dict[UUID, list[Line]]:
    """The lines of those of some orders that are known to be placed."""
    [found] = await db.ask(_LINES.among({*map(str, order_ids)}))
    return {one.order_id: one.lines for one in found if one.lines is not None}


async def _save_orders(
    tx: Transaction,
    orders: Iterable[Order],
    before: Mapping[UUID, tuple[Any, ...]],
    lines: Mapping[UUID, list[Line]],
) -> None:
    """Write new orders, and of the others what has changed: orders that came to the same in one statement."""
    fresh: list[tuple[Any, ...]] = []
    alike: dict[tuple[tuple[str, Any], ...], list[UUID]] = {}
    for order in orders:
        facts = astuple(order)
        known = before.get(order.order_id)
        its_lines = _stored(lines.get(order.order_id))
        if known is None:
            fresh.append((*values(order), order.status, order.settled, its_lines))
            continue
        news = [
            (name, _stored(fact)) for name, fact, old in zip(_FACTS, facts, known, strict=True) if fact != old
        ]
        if its_lines is not None:
            news.append(("`lines`", its_lines))
        if news:
            news += [("status", order.status), ("settled", order.settled)]
            alike.setdefault(tuple(news), []).append(order.order_id)
    await tx.write_many(
        f"INSERT INTO order_views ({columns(Order)}, status, settled, `lines`)"
        f" VALUES ({', '.join(['%s'] * (len(_FACTS) + 3))})",
        fresh,
    )
    for news, these in alike.items():
        changes = ", ".join(f"{column} = %s" for column, _ in news)
        await tx.write(
            f"UPDATE order_views SET {changes} WHERE order_id IN %s",
            [*(value for _, value in news), these],
        )


_AS_JSON = (list, dict)


def _stored(fact: Any) -> Any:
    """A fact as its column holds it: lists and the like as JSON."""
    return _json.encode(fact).decode() if isinstance(fact, _AS_JSON) else fact


# Items and figures ---------------------------------------------------------------------------------------


async def _learn_names(tx: Transaction, news: Sequence[tuple[ItemEvent, datetime]]) -> None:
    """Keep the name of an item's highest version; of those that orders found, which bear none, the first."""
    found: dict[int, tuple[int, datetime, str]] = {}
    for event, at in news:
        if isinstance(event, StockReserved):
            for item_id, name in event.names.items():
                if _is_better(0, at, found.get(item_id)):
                    found[item_id] = (0, at, name)
        elif _is_better(event.version, at, found.get(event.item_id)):
            found[event.item_id] = (event.version, at, event.name)
    if not found:
        return
    known = {
        one.item_id: (one.version, one.told_at, one.name) for one in await tx.find(_TOLD_NAMES, sorted(found))
    }
    await tx.write_many(
        "INSERT INTO item_names (item_id, version, told_at, name) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE version = VALUES(version), told_at = VALUES(told_at), name = VALUES(name)",
        [
            (item_id, version, at, name)
            for item_id, (version, at, name) in sorted(found.items())
            if _is_better(version, at, known.get(item_id))
        ],
    )


def _is_better(version: int, at: datetime, known: tuple[int, datetime, str] | None) -> bool:
    return known is None or (-version, at) < (-known[0], known[1])


async def _add_figures(tx: Transaction, changes: Changes) -> None:
    await tx.write_many(
        "INSERT INTO item_sales (period, start, item_id, quantity, revenue) VALUES (%s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE quantity = quantity + VALUES(quantity),"
        " revenue = revenue + VALUES(revenue)",
        [
            (key.period, key.start.isoformat(), key.item_id, figures.quantity, figures.revenue)
            for key, figures in sorted(changes.items.items())
        ],
    )
    # What was sold and called off looks like what was never sold, in whatever portions it was told.
    called_off: dict[tuple[str, date], list[int]] = defaultdict(list)
    for key, figures in changes.items.items():
        if figures.quantity < 0:
            called_off[key.period, key.start].append(key.item_id)
    for (period, start), item_ids in called_off.items():
        await tx.write(
            "DELETE FROM item_sales WHERE period = %s AND start = %s AND item_id IN %s AND quantity = 0",
            [period, start.isoformat(), sorted(item_ids)],
        )
    await tx.write_many(
        "INSERT INTO sales_hours (hour, orders, quantity, revenue, refunded, cancelled_orders,"
        " cancelled_revenue) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE orders = orders + VALUES(orders), quantity = quantity + VALUES(quantity),"
        " revenue = revenue + VALUES(revenue), refunded = refunded + VALUES(refunded),"
        " cancelled_orders = cancelled_orders + VALUES(cancelled_orders),"
        " cancelled_revenue = cancelled_revenue + VALUES(cancelled_revenue)",
        [
            (
                hour,
                figures.orders,
                figures.quantity,
                figures.revenue,
                figures.refunded,
                figures.cancelled_orders,
                figures.cancelled_revenue,
            )
            for hour, figures in sorted(changes.hours.items())
        ],
    )
    if changes.left:
        await tx.write(
            "DELETE FROM sales_hours WHERE hour IN %s AND orders = 0 AND quantity = 0 AND revenue = 0"
            " AND refunded = 0 AND cancelled_orders = 0 AND cancelled_revenue = 0",
            [sorted(changes.left)],
        )


# Reading -------------------------------------------------------------------------------------------------


async def find_orders(
    db: Reader, conditions: Sequence[str], args: Sequence[Any], *, limit: int
) -> list[Order]:
    """The newest `limit` orders that fit all conditions (ids sort by time)."""
    select = _ORDERS + f"WHERE {' AND '.join(conditions) or '1 = 1'} ORDER BY order_id DESC LIMIT %s"
    return await db.find(select, *args, limit)


async def count_orders(db: Reader) -> tuple[int, int]:
    """How many orders are known, and how many of them are not settled."""
    counts = {one.settled: one.count for one in await db.find(_COUNTED)}
    return sum(counts.values()), counts.get(False, 0)


async def read_names(db: Reader, item_ids: Iterable[int]) -> dict[int, str]:
    """What those of some items are called whose names are known."""
    [found] = await db.ask(_NAMES.among({*item_ids}))
    return {one.item_id: one.name for one in found}


async def best_sellers(
    db: Reader, period: str, start: date, by: Literal["quantity", "revenue"], limit: int
) -> list[Seller]:
    """Items with quantity and revenue, by one of them; the first entries of the index for it."""
    select = _SELLERS + f"ORDER BY {by} DESC, item_id LIMIT %s"
    return await db.find(select, period, start.isoformat(), limit)


async def sales_hours(db: Reader, since: datetime, until: datetime) -> list[SalesHour]:
    """The figures of the hours that have any."""
    return await db.find(_HOURS, since, until)
