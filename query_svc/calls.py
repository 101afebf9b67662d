"""What query answers: orders, their events and timelines, rankings, sales, and how far it has come."""

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
from msgspec.structs import asdict

from query_svc import contracts, projections, rebuild, store
from query_svc.domain import HourFigures, Order, buckets, end_of, hour_of, start_of
from query_svc.timeline import way
from shared.database import Reader, Transaction, page
from shared.errors import FieldError, NotFound, RuleBroken
from shared.ids import least_id

MOST_BUCKETS = 1000
STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_CLOCKS_DIFFER = timedelta(days=1)


# Orders --------------------------------------------------------------------------------------------------


async def find_orders(call: contracts.FindOrders, db: Reader) -> contracts.OrderRows:
    """A page of orders, newest first."""
    conditions: list[str] = []
    args: list[Any] = []

    def must(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            args.append(value)

    must("order_id < %s", call.after)
    must("status = %s", call.status)
    must("settled = %s", call.settled)
    must("buyer_id = %s", call.buyer_id)
    must("placed_at >= %s", call.since)
    must("placed_at < %s", call.until)
    # Ids begin with the time they were made at, and are indexed; a day allows for clocks that disagree.
    must("order_id >= %s", call.since and least_id(call.since - _CLOCKS_DIFFER))
    must("order_id <= %s", call.until and least_id(call.until + _CLOCKS_DIFFER))
    if call.text is not None:
        must("order_id IN %s", await _orders_of_text(db, call.text) or ["none"])
    orders, after = await page(
        call.limit,
        lambda most: projections.find_orders(db, conditions, args, limit=most),
        lambda order: order.order_id,
    )
    return contracts.OrderRows(items=[_row(order) for order in orders], next=after)


async def _orders_of_text(db: Reader, text: str) -> list[str]:
    """The orders that an id of an order, of a message or of a correlation may mean."""
    found = {text.strip().lower()}
    event = await store.read_event(db, text.strip())
    if event is not None:
        found.add(event.saga_id)
    return sorted(found)


async def order_facts(call: contracts.GetOrderFacts, db: Reader) -> contracts.OrderFacts:
    """One order with its lines and what its items are called."""
    order = (await projections.read_orders(db, [call.order_id])).get(call.order_id)
    if order is None:
        raise NotFound(f"No event has told of an order {call.order_id}.")
    lines = (await projections.read_lines(db, [call.order_id])).get(call.order_id, [])
    names = await projections.read_names(db, {line.item_id for line in lines})
    return contracts.OrderFacts(
        order=_row(order),
        reason_details=order.reason_details,
        payment_id=order.payment_id,
        participants=order.participants or [],
        lines=[
            contracts.OrderLine(
                item_id=line.item_id,
                name=names.get(line.item_id),
                quantity=line.quantity,
                unit_price=line.unit_price,
                discounted_price=line.discounted_price,
                user_coupon_ids=line.user_coupon_ids,
            )
            for line in lines
        ],
    )


def _row(order: Order) -> contracts.OrderRow:
    return contracts.OrderRow(
        order_id=order.order_id,
        buyer_id=order.buyer_id,
        status=order.status,
        reason=order.reason,
        settled=order.settled,
        paid=order.paid,
        pay_with=order.pay_with,
        total=order.total,
        line_count=order.line_count,
        placed_at=order.placed_at,
        last_event_at=order.last_event_at,
    )


# Events --------------------------------------------------------------------------------------------------


async def list_events(call: contracts.ListEvents, db: Reader) -> contracts.StoredEvents:
    """A page of the store, or of one saga's events."""
    events, more = await store.read_page(db, call.after, call.limit, saga_id=call.saga_id)
    items = [_event(event) for event in events]
    return contracts.StoredEvents(items=items, next=items[-1].position if more else None)


async def get_event(call: contracts.GetEvent, db: Reader) -> contracts.StoredEvent:
    """One event by its message id."""
    event = await store.read_event(db, call.message_id)
    if event is None:
        raise NotFound(f"No event {call.message_id!r} is stored.")
    [found], _ = await store.read_page(db, event.position - 1, 1)
    return _event(found)


def _event(event: store.Stored) -> contracts.StoredEvent:
    return contracts.StoredEvent(
        position=event.position,
        message_id=event.message_id,
        saga_id=event.saga_id,
        service=event.service,
        event_type=event.event_type,
        status=event.status,
        subject=event.subject,
        sequence=event.sequence,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        time=event.time,
        stored_at=event.stored_at,
        data=msgspec.json.decode(event.event_data),
    )


async def get_timeline(call: contracts.GetTimeline, db: Reader) -> contracts.Timeline:
    """An order's way through the services, as far as its events tell."""
    events = await store.read_saga(db, str(call.order_id))
    unknown = NotFound(f"No event has told of an order {call.order_id}.")
    if not events:
        raise unknown
    found = way(call.order_id, events)
    if call.buyer_id is not None and found.order.buyer_id != call.buyer_id:
        raise unknown
    return contracts.Timeline(
        order_id=call.order_id,
        buyer_id=found.order.buyer_id,
        status=found.order.status,
        reason=found.order.reason,
        settled=found.order.settled,
        paid=found.order.paid,
        started_at=found.started_at,
        ended_at=found.ended_at,
        duration_ms=_ms(found.started_at, found.ended_at),
        steps=[
            contracts.Step(
                service=step.service,
                name=step.name,
                backwards=step.backwards,
                started_at=step.started_at,
                ended_at=step.ended_at,
                duration_ms=_ms(step.started_at, step.ended_at),
                attempts=step.attempts,
                outcome=step.outcome,
                reason=step.reason,
                details=step.details,
                asked_by=step.asked_by,
                answered_by=step.answered_by,
            )
            for step in found.steps
        ],
        waiting_for=[
            contracts.Waiting(service=w.service, step=w.step, since=w.since) for w in found.waiting_for
        ],
        events=len(events),
        position=max(event.position for event in events),
        complete=found.complete,
    )


def _ms(start: datetime, end: datetime | None) -> int | None:
    return None if end is None else round((end - start).total_seconds() * 1000)


# Figures -------------------------------------------------------------------------------------------------


async def ranking(call: contracts.GetRanking, db: Reader) -> contracts.Ranking:
    """The best sellers of a period: the first entries of an index."""
    start = start_of(call.period, call.on or db.now.date())
    best = await projections.best_sellers(db, call.period, start, call.by, call.limit)
    names = await projections.read_names(db, {item.item_id for item in best})
    head = await store.read_head(db)
    return contracts.Ranking(
        period=call.period,
        by=call.by,
        since=None if call.period == "all" else _midnight(start),
        until=None if call.period == "all" else _midnight(end_of(call.period, start)),
        items=[
            contracts.RankedItem(
                rank=rank,
                item_id=item.item_id,
                name=names.get(item.item_id),
                quantity=item.quantity,
                revenue=item.revenue,
            )
            for rank, item in enumerate(best, start=1)
        ],
        complete=head.is_folded,
    )


async def sales(call: contracts.GetSales, db: Reader) -> contracts.Sales:
    """Sales by hour, or by day as the sums of its hours."""
    step = STEPS[call.bucket]
    since, until = _floor(call.since, call.bucket), _floor(call.until, call.bucket)
    until += step if until < call.until else timedelta()
    if since >= until:
        error = FieldError(field="until", message="Expected a later time than the beginning")
        raise RuleBroken("The range of time is empty.", errors=[error])
    if (until - since) // step > MOST_BUCKETS:
        error = FieldError(
            field="until", message=f"Expected at most {MOST_BUCKETS} {call.bucket}s from the beginning"
        )
        raise RuleBroken(f"At most {MOST_BUCKETS} buckets are told at once.", errors=[error])
    sold: dict[datetime, HourFigures] = defaultdict(HourFigures)
    for one in await projections.sales_hours(db, since, until):
        sold[_floor(one.hour, call.bucket)] += one
    items = [
        contracts.SalesBucket(start=start, **asdict(sold[start])) for start in buckets(since, until, step)
    ]
    head = await store.read_head(db)
    return contracts.Sales(bucket=call.bucket, since=since, until=until, items=items, complete=head.is_folded)


def _floor(moment: datetime, bucket: contracts.Bucket) -> datetime:
    hour = hour_of(moment)
    return hour if bucket == "hour" else hour.replace(hour=0)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# How far it is -------------------------------------------------------------------------------------------


async def lag(_call: contracts.GetLag, db: Reader) -> contracts.Lag:
    """How far store and views have come."""
    head = await store.read_head(db)
    last, _ = await store.read_page(db, head.position - 1, 1) if head.position else ([], False)
    event = last[0] if last else None
    orders, unsettled = await projections.count_orders(db)
    return contracts.Lag(
        position=head.position,
        folded=0 if head.wiping else head.folded,
        last_event_at=event.time if event else None,
        last_stored_at=event.stored_at if event else None,
        orders=orders,
        unsettled=unsettled,
    )


async def rebuild_views(_call: contracts.RebuildViews, tx: Transaction) -> contracts.Lag:
    """Begin to make the views again."""
    await rebuild.begin(tx)
    return await lag(contracts.GetLag(), tx)
