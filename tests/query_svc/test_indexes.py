"""Every question is answered from an index, so that it costs the same on an old shop as on a new one."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from deploy.local.layout import Layout
from query_svc import calls, contracts
from query_svc.service import service
from shared.database.transaction import Reader
from shared.database.units import Database
from shared.messages import Call
from tests.query_svc.facts_told import NOON, Story, at, hear, line
from tests.support.databases import fresh_database
from tests.support.plans import Plan, plans_of


class Watching(Reader):
    """Asks as a reader does, and keeps the questions."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.asked: list[tuple[str, Any]] = []

    async def rows(self, sql: str, args: Any = ()) -> list[tuple[Any, ...]]:
        self.asked.append((sql, args))
        return await super().rows(sql, args)


@pytest.fixture(scope="module")
async def full(servers: Layout) -> AsyncIterator[Database]:
    """A store with enough in it for the database to weigh its indexes."""
    dice = random.Random(3)  # noqa: S311  no secret
    async with fresh_database("query_svc", service) as database:
        stories = [
            Story(
                line(dice.randrange(1, 300)),
                line(dice.randrange(1, 300), 2),
                buyer_id=number % 40,
                start=at(number * 600),
            )
            for number in range(600)
        ]
        await hear(database, [one for story in stories for one in story.bought().events], portion=400)
        for table in ("saga_event_log", "order_views", "item_sales", "sales_hours", "item_names"):
            await database.read(lambda reader, table=table: reader.rows(f"ANALYZE TABLE {table}"))
        yield database


async def plans(db: Database, handler: Any, call: Call[Any]) -> list[Plan]:
    """How the database goes about each question that a call asks, table by table."""

    async def look(reader: Reader) -> list[Plan]:
        watching = Watching(reader._pipeline)
        await handler(call, watching)
        found: list[Plan] = []
        for sql, args in watching.asked:
            found += await plans_of(reader, sql, args)
        return found

    return await db.read(look)


QUESTIONS: list[tuple[Any, Call[Any]]] = [
    (calls.find_orders, contracts.FindOrders(limit=20)),
    (calls.find_orders, contracts.FindOrders(status="PENDING", limit=20)),
    (calls.find_orders, contracts.FindOrders(settled=False, limit=20)),
    (calls.find_orders, contracts.FindOrders(buyer_id=7, limit=20)),
    (calls.find_orders, contracts.FindOrders(since=at(0), until=at(9000), limit=20)),
    (calls.find_orders, contracts.FindOrders(text="0199-nobody")),
    (calls.ranking, contracts.GetRanking(limit=10)),
    (calls.ranking, contracts.GetRanking(period="day", by="revenue", on=NOON.date(), limit=10)),
    (calls.sales, contracts.GetSales(since=NOON, until=NOON + timedelta(hours=5), bucket="hour")),
    (calls.list_events, contracts.ListEvents(after=100, limit=20)),
    (calls.list_events, contracts.ListEvents(saga_id="0199-nobody", limit=20)),
    (calls.lag, contracts.GetLag()),
]


@pytest.mark.parametrize(
    ("handler", "call"), QUESTIONS, ids=lambda one: getattr(one, "__name__", None) or repr(one)[:90]
)
async def test_a_question_reads_an_index_and_sorts_nothing(
    full: Database, handler: Any, call: Call[Any]
) -> None:
    for plan in await plans(full, handler, call):
        if plan.table is None:  # answered without looking: the id is not there
            continue
        assert plan.key is not None, plan
        assert not plan.sorts, plan


async def test_the_best_sellers_are_the_first_entries_of_their_index(full: Database) -> None:
    for by in ("quantity", "revenue"):
        [plan, *_] = await plans(full, calls.ranking, contracts.GetRanking(by=by, limit=5))
        assert plan.key == f"best_by_{by}"
        # MariaDB would read another order backwards, MySQL would sort the whole period.
        columns = await full.read(
            lambda reader, index=plan.key: reader.rows(
                "SELECT column_name, collation FROM information_schema.statistics"
                " WHERE table_schema = DATABASE() AND index_name = %s ORDER BY seq_in_index",
                [index],
            )
        )
        assert columns == [("period", "A"), ("start", "A"), (by, "D"), ("item_id", "A")]


async def test_taking_in_looks_for_known_events_by_their_index(full: Database) -> None:
    story = Story().placed()

    async def look(reader: Reader) -> list[str | None]:
        question = "SELECT message_id FROM saga_event_log WHERE message_id IN %s"
        return [plan.key for plan in await plans_of(reader, question, [[story.events[0].id, "another"]])]

    assert await full.read(look) == ["message_id"]
