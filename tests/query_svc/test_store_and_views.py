"""The store and its views in the database: once, in any order, and the same again after a rebuild."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

from item_svc import contracts as item
from query_svc import calls, contracts, rebuild, store
from query_svc.projections import TABLES
from shared.database.transaction import Reader
from shared.database.units import Database
from shared.events.cloudevents import Undecoded
from shared.ids import new_id
from shared.messages import Call
from tests.query_svc.facts_told import NOON, Story, at, hear, line, read_views, strange, told


def stories() -> list[Story]:
    """Orders of every outcome, over several hours, days and months."""
    made: list[Story] = []
    for number in range(30):
        start = at(number * 40_000)
        lines = [line(1 + number % 4, 1 + number % 3), line(9, 2, 70), line(1 + number % 4)]
        story = Story(*lines, buyer_id=2 + number % 3, start=start)
        payment_id = new_id()
        match number % 5:
            case 0:
                story.placed()
            case 1:
                story.placed().no_stock().failed("out_of_stock", settled=True)
            case 2 if number % 2:
                story.bought().called_off()
            case 2:
                story.bought(payment_id).partly_refunded(payment_id, 5, 5, after_s=90_000).called_off()
            case 3:
                story.placed().reserved().completed()
            case _ if number % 2:
                story.bought()
            case _:
                story.bought(payment_id).partly_refunded(payment_id, 5, 5, after_s=9000)
                story.partly_refunded(payment_id, 6, 11, after_s=90_000)
        made.append(story)
    return made


def events_of(made: Iterable[Story]) -> list[Undecoded]:
    """All events of some stories, in the order of their times, and what is told besides."""
    catalogue = [
        told(item.ItemCreated(item_id=1, name="old", size="M", price=1, version=1), at(0)),
        told(item.ItemChanged(item_id=1, name="new", size="M", price=1, version=2), at(1)),
        told(item.ItemDeleted(item_id=1, version=3), at(2)),
        strange("mail.letter_sent", {"to": "nobody"}),
    ]
    return [*catalogue, *sorted((one for story in made for one in story.events), key=lambda one: one.time)]


async def head(db: Database) -> store.Head:
    """How far store and views are."""
    return await db.read(store.read_head)


async def ask(db: Database, handler: Any, call: Call[Any]) -> Any:
    """The answer to a call."""

    async def read(reader: Reader) -> Any:
        return await handler(call, reader)

    return await db.read(read)


async def test_views_are_the_same_in_any_order_with_any_repetition(db: Database) -> None:
    events = events_of(stories())
    await hear(db, events, portion=1000)
    first = await read_views(db)
    assert (await head(db)).position == len(events)
    assert len(first["order_views"]) == 30
    assert {row[0]: row[1] for row in first["item_names"]}[1] == "new"
    for seed, portion in ((1, 5), (2, 64)):
        await db.transaction(_forget_everything)
        mixed = events * 2
        random.Random(seed).shuffle(mixed)  # noqa: S311  no secret
        await hear(db, mixed, portion=portion)
        assert await read_views(db) == first
        assert (await head(db)).position == len(events)


async def _forget_everything(tx: Any) -> None:
    for table in (*TABLES, "saga_event_log"):
        await tx.execute(f"DELETE FROM {table}")
    await store.save_head(tx, store.Head(0, 0, False))


async def test_a_rebuild_makes_the_same_views_while_events_come_in(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "STEP_EVENTS", 11)
    monkeypatch.setattr(rebuild, "STEP_ROWS", 13)
    events = events_of(stories())
    random.Random(4).shuffle(events)  # noqa: S311  no secret
    half = len(events) // 2
    await hear(db, events, portion=16)
    whole = await read_views(db)
    await db.transaction(_forget_everything)
    await hear(db, events[:half], portion=16)

    await db.transaction(rebuild.begin)
    assert not (await ask(db, calls.ranking, contracts.GetRanking())).complete
    for start in range(half, len(events), 8):
        await db.transaction(rebuild.step)
        await hear(db, events[start : start + 8])
    now = await head(db)
    assert now.position == len(events)
    assert now.folded < now.position, "events that come in must not overtake the rebuild"
    await rebuild.carry_on(db)

    assert await read_views(db) == whole
    assert (await head(db)).is_folded
    await db.transaction(rebuild.begin)
    await rebuild.carry_on(db)
    assert await read_views(db) == whole


async def test_an_empty_store_can_be_rebuilt(db: Database) -> None:
    await db.transaction(rebuild.begin)
    await rebuild.carry_on(db)
    assert await head(db) == store.Head(0, 0, False)


async def test_an_event_that_no_view_can_read_is_kept_and_nothing_else(db: Database) -> None:
    broken = strange("order.placed", {"order_id": str(new_id()), "lines": "none"})
    await hear(db, [broken])
    found = await ask(db, calls.get_event, contracts.GetEvent(message_id=broken.id))
    assert (found.event_type, found.data["lines"]) == ("order.placed", "none")
    assert (await ask(db, calls.lag, contracts.GetLag())).orders == 0


async def test_ids_that_differ_in_a_capital_are_two(db: Database) -> None:
    await hear(db, [strange("a.b", {}, id="ID"), strange("a.b", {}, id="id")])
    assert (await head(db)).position == 2


async def test_large_events_are_stored_in_more_than_one_statement(db: Database) -> None:
    """Beyond the server's packet limit (16 MiB) it would hang up."""
    large = [strange("a.b", {"text": "x" * 1_000_000}) for _ in range(17)]
    await hear(db, large)
    page = await ask(db, calls.list_events, contracts.ListEvents(limit=1000))
    assert [one.message_id for one in page.items] == [large[0].id]
    assert page.next == 1


async def test_events_are_listed_by_position(db: Database) -> None:
    story = Story().bought()
    other = Story().placed()
    await hear(db, [*story.events, *other.events])
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await ask(db, calls.list_events, contracts.ListEvents(limit=2, after=after))
        seen += [one.message_id for one in page.items]
        after = page.next
    assert seen == [one.id for one in (*story.events, *other.events)]
    call = contracts.ListEvents(saga_id=str(story.order_id), limit=1000)
    page = await ask(db, calls.list_events, call)
    assert [one.message_id for one in page.items] == [one.id for one in story.events]
    first = page.items[0]
    assert (first.service, first.event_type, first.status, first.sequence) == (
        "order",
        "order.placed",
        "PENDING",
        1,
    )
    assert (first.time, first.saga_id, first.correlation_id) == (
        NOON,
        str(story.order_id),
        str(story.order_id),
    )


async def test_orders_are_found_by_what_is_known_of_them(db: Database) -> None:
    made = stories()
    await hear(db, events_of(made))

    async def found(**wanted: Any) -> list[Any]:
        ids: list[Any] = []
        after = None
        while True:
            page = await ask(db, calls.find_orders, contracts.FindOrders(limit=7, after=after, **wanted))
            ids += [row.order_id for row in page.items]
            after = page.next
            if after is None:
                return ids

    everybody = sorted((story.order_id for story in made), reverse=True)
    assert await found() == everybody
    assert await found(status="CANCEL") == sorted((one.order_id for one in made[2::5]), reverse=True)
    assert await found(settled=False) == sorted((one.order_id for one in made[0::5]), reverse=True)
    assert len(await found(buyer_id=2)) == 10
    assert await found(buyer_id=2, status="PENDING") == [made[15].order_id, made[0].order_id]
    assert await found(text=str(made[3].order_id).upper()) == [made[3].order_id]
    assert await found(text=made[4].events[2].id) == [made[4].order_id]
    assert await found(text="nobody") == []
    assert await found(text="nobody", status="PENDING") == []


async def test_orders_are_found_by_the_time_they_were_placed_at(db: Database) -> None:
    made = [Story(start=at(seconds)).placed() for seconds in (-1, 0, 1, 2)]
    await hear(db, [event for story in made for event in story.events])
    page = await ask(db, calls.find_orders, contracts.FindOrders(since=NOON, until=at(2)))
    assert [row.order_id for row in page.items] == [made[2].order_id, made[1].order_id]


async def test_facts_of_an_order_name_its_items(db: Database) -> None:
    story = Story(line(1, 2), line(5, 1, 30)).bought()
    await hear(db, story.events)
    facts = await ask(db, calls.order_facts, contracts.GetOrderFacts(order_id=story.order_id))
    assert [(one.item_id, one.name, one.quantity) for one in facts.lines] == [
        (1, "item 1", 2),
        (5, "item 5", 1),
    ]
    assert (facts.order.status, facts.order.paid, facts.order.total) == ("COMPLETED", True, 230)
    assert (facts.order.line_count, facts.participants) == (2, ["item"])


async def test_rankings_and_sales_by_calendar(db: Database) -> None:
    early = Story(line(1, 5, 10), start=at(-86400)).bought()  # Tuesday
    today = Story(line(2, 2, 100), line(1, 2, 10)).bought()
    gone = Story(line(3, 9, 999)).bought().called_off()
    await hear(db, [*early.events, *today.events, *gone.events])

    async def best(**wanted: Any) -> list[tuple[int, int, int, int]]:
        page = await ask(db, calls.ranking, contracts.GetRanking(**wanted))
        return [(one.rank, one.item_id, one.quantity, one.revenue) for one in page.items]

    assert await best() == [(1, 1, 7, 70), (2, 2, 2, 200)]
    assert await best(by="revenue", limit=1) == [(1, 2, 2, 200)]
    assert await best(period="day", on=NOON.date()) == [(1, 1, 2, 20), (2, 2, 2, 200)]
    assert await best(period="week", on=NOON.date()) == [(1, 1, 7, 70), (2, 2, 2, 200)]
    assert await best(period="month", on=NOON.date().replace(month=2)) == []

    call = contracts.GetSales(since=at(-86400), until=at(1), bucket="day")
    days = await ask(db, calls.sales, call)
    assert [(one.orders, one.quantity, one.revenue) for one in days.items] == [(1, 5, 50), (1, 4, 220)]
    assert [(one.cancelled_orders, one.cancelled_revenue) for one in days.items] == [(0, 0), (1, 8991)]
    hours = await ask(db, calls.sales, contracts.GetSales(since=at(-3600), until=at(3601), bucket="hour"))
    assert [one.orders for one in hours.items] == [0, 1, 0]


async def test_a_refund_in_part_lowers_the_sales_of_its_own_day(db: Database) -> None:
    day, payment_id = 86_400, new_id()
    story = Story(line(1, 2, 100)).bought(payment_id).partly_refunded(payment_id, 30, 30, after_s=day)
    story.partly_refunded(payment_id, 20, 50, after_s=day)
    news = list(story.events)
    random.Random(1).shuffle(news)  # noqa: S311  no secret
    call = contracts.GetSales(since=at(0), until=at(2 * day), bucket="day")

    async def days() -> list[tuple[int, ...]]:
        found = await ask(db, calls.sales, call)
        return [
            (one.orders, one.revenue, one.refunded, one.cancelled_orders, one.cancelled_revenue)
            for one in found.items
        ]

    await hear(db, news, portion=1)
    assert (await days())[:2] == [(1, 200, 0, 0, 0), (0, -50, 50, 0, 0)]
    await db.transaction(rebuild.begin)
    await rebuild.carry_on(db)
    assert (await days())[:2] == [(1, 200, 0, 0, 0), (0, -50, 50, 0, 0)]
    ranked = await ask(db, calls.ranking, contracts.GetRanking(by="revenue"))
    assert [(one.quantity, one.revenue) for one in ranked.items] == [(2, 200)]
    await hear(db, story.called_off().events)
    assert (await days())[:2] == [(0, 0, 0, 1, 200), (0, 0, 0, 0, 0)]


async def test_sums_beyond_64_bits_are_told_exactly(db: Database) -> None:
    most = [line(1, 10**6, 10**12)]
    for _ in range(12):
        await hear(db, Story(*most).bought().events)
    page = await ask(db, calls.ranking, contracts.GetRanking())
    assert page.items[0].revenue == 12 * 10**18
    sales = await ask(db, calls.sales, contracts.GetSales(since=at(0), until=at(9), bucket="hour"))
    assert sales.items[0].revenue == 12 * 10**18


async def test_the_lag_tells_how_far_it_is(db: Database) -> None:
    assert await ask(db, calls.lag, contracts.GetLag()) == contracts.Lag(
        position=0, folded=0, last_event_at=None, last_stored_at=None, orders=0, unsettled=0
    )
    await hear(db, [*Story().placed().events, *Story().bought().events])
    lag = await ask(db, calls.lag, contracts.GetLag())
    assert (lag.position, lag.folded, lag.last_event_at, lag.orders, lag.unsettled) == (5, 5, at(3), 2, 1)
