"""What the saga asks of its tables is found by an index, in a table of any size."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from deploy.local.layout import Layout
from order_svc import calls, events, sweeps
from order_svc.contracts import LineRequest, ListOrders, PlaceOrder
from order_svc.service import service
from order_svc.settings import OrderSettings
from shared.database.pipeline import Outcome, Pipeline
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.events.outbox import Outbox
from shared.ids import new_id
from tests.support.databases import fresh_database
from tests.support.plans import plans_of

SETTINGS = OrderSettings()
ORDERS = 1500
FEW = 200
"""As many rows may be looked at for one order; of all the rows there are, that is a small part."""


@pytest.fixture(scope="module")
async def full(servers: Layout) -> AsyncIterator[tuple[Database, UUID]]:
    """Tables with enough in them for the database to weigh its indexes, and one of the orders."""
    async with fresh_database("order_svc", service) as database:
        wanted = [_order(number % 300) for number in range(ORDERS)]
        await database.transaction(lambda tx: calls.place_orders(wanted, tx, SETTINGS))
        for table in ("orders", "participants", "order_history", "outbox"):
            await database.read(lambda reader, table=table: reader.rows(f"ANALYZE TABLE {table}"))
        yield database, wanted[700].order_id


def _order(buyer_id: int) -> PlaceOrder:
    return PlaceOrder(
        order_id=new_id(),
        buyer_id=buyer_id,
        lines=[LineRequest(item_id=1, quantity=1, unit_price=100)],
    )


async def test_an_answer_finds_its_order_with_all_that_belongs_to_it(full: Any, asked: list[str]) -> None:
    database, order_id = full
    heard: list[Any] = [events.StockReserved(order_id=order_id, names={1: "Mug"})]
    await database.transaction(lambda tx: events.hear_answers(heard, tx, SETTINGS))
    assert await _indexes(database, asked) == {"orders", "participants", "order_history"}


async def test_orders_that_are_late_are_found_by_their_deadlines(full: Any, asked: list[str]) -> None:
    database, _ = full
    outbox = Outbox("order", database)

    async def early(tx: Transaction) -> None:
        outbox.connected_since = tx.now
        tx.now -= timedelta(days=1)
        await sweeps.fail_overdue(tx, outbox, SETTINGS)
        await sweeps.release_again(tx, SETTINGS)

    await database.transaction(early)
    assert await _indexes(database, asked) == {"orders", "participants"}


async def test_a_page_of_a_buyers_orders_is_read_from_the_buyers_index(full: Any, asked: list[str]) -> None:
    database, order_id = full
    call = ListOrders(buyer_id=7, limit=20, after=order_id)
    await database.read(lambda reader: calls.list_orders(call, reader))
    assert await _indexes(database, asked) == {"orders"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that are asked from now on."""
    questions: list[str] = []
    ask = Pipeline.ask

    async def watched(pipeline: Pipeline, *statements: str) -> list[Outcome]:
        questions.extend(one for one in statements if one.startswith("SELECT"))
        return await ask(pipeline, *statements)

    monkeypatch.setattr(Pipeline, "ask", watched)
    return questions


async def _indexes(database: Database, questions: list[str]) -> set[str]:
    """The tables that were asked; each must have been gone through by an index, and not from end to end."""
    found: set[str] = set()
    for question in list(questions):
        [plan] = await database.read(lambda reader, question=question: plans_of(reader, question))
        assert plan.way in ("const", "eq_ref", "ref", "range"), (question, plan)
        assert plan.key, (question, plan)
        assert plan.rows <= FEW, (question, plan)
        found.add(str(plan.table))
    return found
