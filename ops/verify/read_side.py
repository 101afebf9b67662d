"""What the read side says must be what the orders' own tables say, and its figures those of its orders.

It knows what happened since it first listened; orders placed before that are not compared.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from coupon_svc.domain import Line
from ops.verify.check import Book, Check, Facts
from ops.verify.order_records import OrderRecords, lines_in
from ops.verify.source import Source
from ops.verify.stored_events import partly_refunded
from ops.verify.tables import ITEM_SALES, ORDER_VIEWS, SALES_HOURS, OrderView
from query_svc.domain import PERIODS, Part, hour_of, start_of

# Orders --------------------------------------------------------------------------------------------------


def _as_they_are(records: OrderRecords) -> Iterator[str]:
    order, view = records.order, records.view
    if order is None:
        if view is not None:
            yield f"order {records.id}: is unknown, but the read side shows {view.status}"
        return
    if not records.was_told:
        return
    due = _shown(order.status, order.reason, bool(order.settled), bool(order.paid), order.total)
    if view is None:
        yield f"order {records.id}: is {due}, but the read side shows nothing"
        return
    paid = view.confirmed_at is not None and view.status != "CANCEL"
    told = _shown(view.status, view.reason, bool(view.settled), paid, view.total)
    if told != due:
        yield f"order {records.id}: is {due}, but the read side shows {told}"
    confirmed = [change.at for change in records.history if change.what == "ORDER_CONFIRMED"]
    participant = records.participants.get("payment")
    for name, fact, shown in (
        ("refund in part", _parts_told(records), _parts_shown(view)),
        ("buyer", order.buyer_id, view.buyer_id),
        ("way of paying", order.pay_with, view.pay_with),
        ("lines", records.lines, lines_in(view.lines)),
        ("time of placing", order.created_at, view.placed_at),
        ("time of confirmation", confirmed[0] if confirmed else None, view.confirmed_at),
        ("payment", participant.payment_id if participant and confirmed else None, view.payment_id),
    ):
        if fact != shown:
            yield f"order {records.id}: the read side shows another {name}"


def _parts_told(records: OrderRecords) -> list[tuple[Any, ...]]:
    told = (partly_refunded(stored) for stored in records.events)
    return sorted({(one.payment_id, one.refunded, one.amount) for one in told if one})


def _parts_shown(view: OrderView) -> list[tuple[Any, ...]]:
    return sorted((str(one.payment_id), one.refunded, one.amount) for one in parts_in(view.parts))


def _shown(status: str, reason: str | None, settled: bool, paid: bool, total: int | None) -> str:
    end = ("settled, paid" if paid else "settled, unpaid") if settled else "under way"
    return ", ".join((status, *([reason] if reason else []), end, str(total)))


READ_SIDE_CHECKS = (Check("the read side shows orders as they are", _as_they_are, follows=True),)

# Figures -------------------------------------------------------------------------------------------------

# Pieces and won are added up plainly and multiplied by their item's id, so that wrong items are seen, too.


class Figures(NamedTuple):
    """What an hour or a period comes to by the orders of the read side, and what it says it comes to."""

    what: str
    due: tuple[int, ...]
    told: tuple[int, ...]


_read_parts = msgspec.json.Decoder(list[Part]).decode


def parts_in(text: str | None) -> list[Part]:
    """Refunds in part as they are stored; none where they cannot be read."""
    try:
        return _read_parts(text) if text else []
    except msgspec.DecodeError:
        return []


def figures_of(
    views: Sequence[OrderView], hours: dict[datetime, list[int]], periods: dict[tuple[str, date], list[int]]
) -> None:
    """Add what orders were sold and called off to the figures of their hours and periods."""
    for view in views:
        if view.confirmed_at is None or view.placed_at is None:
            continue
        hour = hours[hour_of(view.confirmed_at)]
        lines = lines_in(view.lines) or []
        won = sum(line.quantity * line.discounted_price for line in lines)
        if view.status != "COMPLETED":
            hour[4] += 1
            hour[5] += won
            continue
        # They lower the revenue of the hour that they are made in.
        for part in parts_in(view.parts):
            if str(part.payment_id) == view.payment_id:
                then = hours[hour_of(part.at)]
                then[2] -= part.amount
                then[3] += part.amount
        hour[0] += 1
        hour[1] += sum(line.quantity for line in lines)
        hour[2] += won
        day = view.confirmed_at.date()
        for period in PERIODS:
            _add_lines(periods[period, start_of(period, day)], lines)


def _add_lines(sums: list[int], lines: Sequence[Line]) -> None:
    for line in lines:
        won = line.quantity * line.discounted_price
        for place, number in enumerate(
            (line.quantity, won, line.quantity * line.item_id, won * line.item_id)
        ):
            sums[place] += number


async def _pages(
    source: Source, _facts: Facts, _keys: Collection[Any] | None
) -> AsyncIterator[Sequence[tuple[str, Figures]]]:
    """Always of all orders: a period is the sum of all of its orders. They are of one moment, for figures and
    orders are changed together."""
    hours: dict[datetime, list[int]] = defaultdict(lambda: [0] * 6)
    periods: dict[tuple[str, date], list[int]] = defaultdict(lambda: [0] * 4)
    told_hours: dict[datetime, tuple[int, ...]] = {}
    told_periods: dict[tuple[str, date], list[int]] = defaultdict(lambda: [0] * 4)
    readings = (ORDER_VIEWS.by("order_id"), SALES_HOURS.by("hour"), ITEM_SALES.by("id"))
    async with source.one_moment(readings) as (views, sales_hours, item_sales):
        async for chunk in sales_hours:
            told_hours |= {one.hour: tuple(map(int, one[1:])) for one in chunk}
        async for chunk in item_sales:
            for one in chunk:
                sums = (one.quantity, one.revenue, one.quantity * one.item_id, one.revenue * one.item_id)
                told = told_periods[one.period, one.start]
                told_periods[one.period, one.start] = [a + int(b) for a, b in zip(told, sums, strict=True)]
        async for chunk in views:
            figures_of(chunk, hours, periods)
    yield [
        (f"{hour}", Figures(f"hour {hour}", tuple(hours[hour]), told_hours.get(hour, (0,) * 6)))
        for hour in sorted(hours.keys() | told_hours.keys())
    ]
    yield [
        (
            f"{period} {start}",
            Figures(
                f"{period} from {start}", tuple(periods[period, start]), tuple(told_periods[period, start])
            ),
        )
        for period, start in sorted(periods.keys() | told_periods.keys())
    ]


def _sales(figures: Figures) -> Iterator[str]:
    if len(figures.due) == 6 and figures.due != figures.told:
        names = ("orders", "pieces", "won", "won refunded in part", "cancelled orders", "won cancelled")
        off = (due - told for due, told in zip(figures.due, figures.told, strict=True))
        differences = ", ".join(f"{number} {name}" for number, name in zip(off, names, strict=True))
        yield f"{figures.what}: the orders differ from the sales figures by {differences}"


def _rankings(figures: Figures) -> Iterator[str]:
    if len(figures.due) == 4 and figures.due != figures.told:
        due, told = (" / ".join(map(str, numbers)) for numbers in (figures.due, figures.told))
        yield (
            f"rankings of the {figures.what}: {told}, but the orders that stand add up to {due}"
            " (pieces, won, and both by item id)"
        )


FIGURES_BOOK = Book(
    "figures",
    (
        Check("sales figures are those of the orders", _sales),
        Check("rankings are those of the orders", _rankings),
    ),
    _pages,
)
