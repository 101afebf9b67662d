"""What tests do with the order service: place, say, look, sweep; each in a unit of work of its own."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from order_svc import calls, events, sweeps
from order_svc.contracts import (
    CancelOrder,
    GetOrder,
    LineRequest,
    OrderView,
    PlaceOrder,
)
from order_svc.settings import OrderSettings
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import Problem
from shared.events.outbox import Outbox
from shared.ids import new_id
from shared.messages import View

T = TypeVar("T")

BUYER = 5
SETTINGS = OrderSettings(order_deadline_s=30, order_release_again_s=10)


def a_line(**changes: Any) -> LineRequest:
    """Two pieces of item 1 at 100 each, but for what is changed."""
    fields: dict[str, Any] = {"item_id": 1, "quantity": 2, "unit_price": 100}
    return LineRequest(**(fields | changes))


def an_order(*lines: LineRequest, **changes: Any) -> PlaceOrder:
    """An order of `BUYER`, of one such line unless others are given."""
    fields: dict[str, Any] = {"order_id": new_id(), "buyer_id": BUYER, "lines": list(lines) or [a_line()]}
    return PlaceOrder(**(fields | changes))


def a_couponed_order(**changes: Any) -> PlaceOrder:
    """An order that concerns item and coupon, and payment too with `pay_with`."""
    return an_order(a_line(quantity=1, discounted_price=80, user_coupon_ids=[7]), **changes)


async def later(db: Database, seconds: float, unit: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run a unit of work as if it were so many seconds later."""

    async def then(tx: Transaction) -> T:
        tx.now += timedelta(seconds=seconds)
        return await unit(tx)

    return await db.transaction(then)


async def place_all(db: Database, *wanted: PlaceOrder) -> list[OrderView | Problem]:
    """Place these in one list."""
    return await db.transaction(lambda tx: calls.place_orders(list(wanted), tx, SETTINGS))


async def place(db: Database, call: PlaceOrder) -> OrderView:
    """Place one that is accepted."""
    [answer] = await place_all(db, call)
    assert isinstance(answer, OrderView), answer
    return answer


async def look(db: Database, order_id: UUID) -> OrderView:
    """The order as its service shows it."""
    [answer] = await db.read(lambda reader: calls.get_orders([GetOrder(order_id=order_id)], reader))
    assert isinstance(answer, OrderView), answer
    return answer


async def say(db: Database, *answers: Any) -> None:
    """Let the order service hear these: first what is a yes, then the noes, then what was given back."""
    for kinds in (
        events.Yes,
        events.No,
        events.Released,
        events.PaymentKept | events.PaymentPartlyRefunded,
    ):
        if heard := [answer for answer in answers if isinstance(answer, kinds)]:
            await hear(db, *heard)


async def hear(db: Database, *answers: Any) -> None:
    """Let the order service hear these in one list."""
    await db.transaction(lambda tx: events.hear_answers(list(answers), tx, SETTINGS))


def reserved(order_id: UUID) -> events.StockReserved:
    """Item says yes."""
    return events.StockReserved(order_id=order_id, names={1: "Mug"})


def item_says_no(order_id: UUID, reason: str = "out_of_stock", **details: Any) -> View:
    """Item says no."""
    return events.StockRejected(order_id=order_id, reason=reason, details=details)


async def cancel(db: Database, order_id: UUID, by: Any = "buyer", buyer_id: int | None = BUYER) -> OrderView:
    """Cancel an order."""
    call = CancelOrder(order_id=order_id, by=by, buyer_id=buyer_id)
    return await db.transaction(lambda tx: calls.cancel_order(call, tx, SETTINGS))


def states(order: OrderView) -> dict[str, str]:
    """Where each participant stands."""
    return {one.name: one.state for one in order.participants}


async def count_of(db: Database, table: str) -> int:
    """How many rows a table has."""
    row = await db.read(lambda reader: reader.row(f"SELECT COUNT(*) FROM {table}"))
    assert row is not None
    return row[0]


async def sweep(db: Database, outbox: Outbox, *, after_s: float) -> None:
    """Let the deadlines that pass in so many seconds have passed."""
    await later(db, after_s, lambda tx: sweeps.fail_overdue(tx, outbox, SETTINGS))


async def deadline_of(db: Database, order_id: UUID) -> datetime | None:
    """Until when an order waits."""
    row = await db.read(lambda r: r.row("SELECT deadline_at FROM orders WHERE id = %s", [order_id]))
    assert row is not None
    return row[0]


async def a_completed_order(
    db: Database, call: PlaceOrder | None = None, settings: OrderSettings = SETTINGS
) -> UUID:
    """An order that item alone is concerned with, completed."""
    order = await place(db, call or an_order())
    await db.transaction(lambda tx: events.hear_answers([reserved(order.id)], tx, settings))
    return order.id
