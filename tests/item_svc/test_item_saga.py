"""Item as a participant of the order saga, on a real database: answers, releases, tombstones, races."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pymysql.err
import pytest

from item_svc import calls, events
from item_svc.contracts import (
    AdjustStock,
    CreateItem,
    DeleteItem,
    GetItem,
    ListItems,
    StockRejected,
    StockReleased,
    StockReserved,
)
from item_svc.domain import Line
from item_svc.events import OrderPlaced, ReleaseStock
from shared.database.units import Database
from shared.ids import new_id
from tests.support.databases import Heard
from tests.support.held import blames_the_row
from tests.support.participant import Participant, TakesPart


async def _item(db: Database, stock: int, price: int = 100) -> int:
    call = CreateItem(request_id=new_id(), name="Mug", size=str(new_id()), price=price, stock_quantity=stock)
    return (await db.transaction(lambda tx: calls.create_item(call, tx))).id


async def _stock(db: Database, item_id: int) -> int:
    return (await db.read(lambda r: calls.get_item(GetItem(id=item_id), r))).available_quantity


def _placed(*wants: tuple[int, int], price: int = 100, order_id: UUID | None = None) -> OrderPlaced:
    lines = [Line(item_id=item_id, quantity=quantity, unit_price=price) for item_id, quantity in wants]
    return OrderPlaced(order_id=order_id or new_id(), buyer_id=2, lines=lines, participants=["item"])


def _yes(order: OrderPlaced) -> StockReserved:
    return StockReserved(order_id=order.order_id, names={line.item_id: "Mug" for line in order.lines})


def _answers(heard: Heard) -> list[Any]:
    """What was told about orders."""
    return [event for event in heard.events if type(event).subject_field == "order_id"]


async def _place(db: Database, *orders: OrderPlaced) -> None:
    await db.transaction(lambda tx: events.reserve_stock(list(orders), tx))


async def _release(db: Database, *order_ids: UUID) -> None:
    await db.transaction(
        lambda tx: events.release_stock([ReleaseStock(order_id=order_id) for order_id in order_ids], tx)
    )


async def _books_balance(db: Database) -> None:
    """Stock = initial + adjustments - what HELD claims took = the balance of the latest change."""
    unequal = await db.read(
        lambda r: r.rows(
            "SELECT i.id, i.stock, i.initial_stock, SUM(IF(h.cause = 'adjustment', h.delta, 0)),"
            " SUM(IF(h.cause = 'order' AND c.state = 'HELD', -h.delta, 0)),"
            " (SELECT balance FROM stock_history n WHERE n.item_id = i.id ORDER BY id DESC LIMIT 1) AS last"
            " FROM items i JOIN stock_history h ON h.item_id = i.id"
            " LEFT JOIN item_claims c ON c.order_id = h.order_id"
            " GROUP BY i.id, i.stock, i.initial_stock"
            " HAVING i.stock <> i.initial_stock + SUM(IF(h.cause = 'adjustment', h.delta, 0))"
            "  - SUM(IF(h.cause = 'order' AND c.state = 'HELD', -h.delta, 0))"
            " OR i.stock <> SUM(IF(h.cause = 'initial', 0, h.delta)) + i.initial_stock OR i.stock <> last"
        )
    )
    assert unequal == []


class ItemSide(Participant):
    """Item, of which each good order takes one piece."""

    accepted, rejected, released = StockReserved, StockRejected, StockReleased
    stock = 50

    def __init__(self, db: Database, heard: Heard) -> None:
        super().__init__(db, heard)
        self.items: list[int] = []

    async def good(self) -> OrderPlaced:
        self.items = self.items or [await _item(self.db, self.stock), await _item(self.db, 0)]
        return _placed((self.items[0], 1))

    async def bad(self) -> OrderPlaced:
        await self.good()
        return _placed((self.items[0], 1), (self.items[1], 1))

    async def supply(self) -> None:
        more = AdjustStock(request_id=new_id(), id=self.items[1], delta=10, reason="more")
        await self.db.transaction(lambda tx: calls.adjust_stock(more, tx))

    def elsewhere(self) -> OrderPlaced:
        return OrderPlaced(order_id=new_id(), buyer_id=2, lines=[], participants=["payment"])

    async def place(self, *orders: OrderPlaced) -> None:
        await _place(self.db, *orders)

    async def release(self, *order_ids: UUID) -> None:
        await _release(self.db, *order_ids)

    async def taken(self) -> int:
        return self.stock - await _stock(self.db, self.items[0])

    async def books_balance(self) -> None:
        await _books_balance(self.db)


class TestItemTakesPart(TakesPart):
    @pytest.fixture
    def side(self, db: Database, heard: Heard) -> ItemSide:
        return ItemSide(db, heard)


async def test_an_order_takes_its_stock_and_says_so(db: Database, heard: Heard) -> None:
    one, two = await _item(db, 10), await _item(db, 5)
    order = _placed((one, 3), (two, 5), (one, 1))
    await _place(db, order)
    assert _answers(heard) == [_yes(order)]
    assert (await _stock(db, one), await _stock(db, two)) == (6, 0)
    await _books_balance(db)


@pytest.mark.parametrize(
    ("quantity", "price", "reason", "details"),
    [
        (11, 100, "out_of_stock", {"asked": 11, "left": 10}),
        (1, 99, "price_changed", {"asked": 99, "price": 100}),
    ],
)
async def test_an_order_that_cannot_be_served_takes_nothing_and_hears_why(
    db: Database, heard: Heard, quantity: int, price: int, reason: str, details: dict[str, int]
) -> None:
    item, other = await _item(db, 10), await _item(db, 10, price)
    order = _placed((other, 1), (item, quantity), price=price)
    await _place(db, order)
    assert _answers(heard) == [
        StockRejected(order_id=order.order_id, reason=reason, details={"item_id": item, **details})
    ]
    assert (await _stock(db, item), await _stock(db, other)) == (10, 10)
    await _books_balance(db)


async def test_items_unknown_or_no_longer_on_sale_are_told(db: Database, heard: Heard) -> None:
    gone = await _item(db, 10)
    await db.transaction(
        lambda tx: calls.delete_item(DeleteItem(request_id=new_id(), id=gone, expected_version=1), tx)
    )
    for item in (gone, 2**62):
        await _place(db, _placed((item, 1)))
    assert [(no.reason, no.details) for no in heard.of(StockRejected)] == [
        ("item_unknown", {"item_id": gone}),
        ("item_unknown", {"item_id": 2**62}),
    ]


async def test_orders_of_one_list_are_served_in_turn(db: Database, heard: Heard) -> None:
    item = await _item(db, 10)
    orders = [_placed((item, 4)), _placed((item, 7)), _placed((item, 6))]
    await _place(db, *orders)
    assert [type(event) for event in _answers(heard)] == [StockReserved, StockRejected, StockReserved]
    assert heard.of(StockRejected)[0].details == {"item_id": item, "asked": 7, "left": 6}
    assert await _stock(db, item) == 0
    await _books_balance(db)


async def test_an_item_taken_off_sale_still_takes_its_pieces_back(db: Database) -> None:
    item = await _item(db, 10)
    order = _placed((item, 4))
    await _place(db, order)
    await db.transaction(
        lambda tx: calls.delete_item(DeleteItem(request_id=new_id(), id=item, expected_version=1), tx)
    )
    await _release(db, order.order_id)
    assert await db.read(lambda r: r.row("SELECT stock FROM items WHERE id = %s", [item])) == (10,)
    await _books_balance(db)


async def test_fifty_buyers_get_ten_units_and_no_more(db: Database, heard: Heard) -> None:
    item = await _item(db, 10)
    await asyncio.gather(*(_place(db, _placed((item, 1))) for _ in range(50)))
    assert len(heard.of(StockReserved)) == 10
    assert {no.reason for no in heard.of(StockRejected)} == {"out_of_stock"}
    assert await _stock(db, item) == 0
    await _books_balance(db)


async def test_orders_and_their_releases_in_any_order_and_number_keep_the_books(
    db: Database, heard: Heard
) -> None:
    dice = random.Random(7)  # noqa: S311  a repeatable shuffle
    items = [await _item(db, 20) for _ in range(6)]
    orders = [
        _placed(*((item, dice.randint(1, 4)) for item in dice.sample(items, dice.randint(1, 4))))
        for _ in range(80)
    ]
    released = [order.order_id for order in orders[::2]]
    lists: list[list[OrderPlaced] | list[UUID]] = []
    for _ in range(2):
        dice.shuffle(orders)
        dice.shuffle(released)
        lists += [orders[start : start + 9] for start in range(0, len(orders), 9)]
        lists += [released[start : start + 5] for start in range(0, len(released), 5)]
    dice.shuffle(lists)
    gate = asyncio.Semaphore(6)

    async def deliver(part: list[OrderPlaced] | list[UUID]) -> None:
        async with gate:
            if isinstance(part[0], OrderPlaced):
                await _place(db, *part)  # type: ignore[arg-type]
            else:
                await _release(db, *part)  # type: ignore[arg-type]

    await asyncio.gather(*map(deliver, lists))
    await _books_balance(db)
    states = dict(await db.read(lambda r: r.rows("SELECT order_id, state FROM item_claims")))
    assert {states[str(order_id)] for order_id in released} == {"RELEASED"}
    assert len(states) == len(orders)
    # Every arrival was answered, and those of one order that was never released all alike.
    assert len(heard.of(StockReleased)) == 2 * len(released)
    for order in orders:
        if order.order_id not in released:
            answers = [event for event in _answers(heard) if event.order_id == order.order_id]
            assert len(answers) == 2
            assert answers[0] == answers[1]


async def test_an_order_of_two_thousand_lines_is_taken_and_given_back(db: Database, heard: Heard) -> None:
    now = "2026-01-01"
    await db.transaction(
        lambda tx: tx.write_many(
            "INSERT INTO items (id, name, size, price, stock, initial_stock, version, retired,"
            " created_at, changed_at) VALUES (%s, %s, '-', 100, 5, 5, 1, 0, %s, %s)",
            [(number, f"bulk {number}", now, now) for number in range(10_001, 12_001)],
        )
    )
    order = _placed(*((number, 5) for number in range(12_000, 10_000, -1)))
    await _place(db, order)
    [yes] = heard.of(StockReserved)
    assert yes.names == {number: f"bulk {number}" for number in range(10_001, 12_001)}
    sums = "SELECT SUM(stock) FROM items WHERE id BETWEEN 10001 AND 12000"
    assert await db.read(lambda r: r.row(sums)) == (0,)
    await _release(db, order.order_id)
    assert await db.read(lambda r: r.row(sums)) == (10_000,)


async def test_the_table_itself_refuses_a_stock_below_zero(db: Database) -> None:
    item = await _item(db, 1)
    with pytest.raises((pymysql.err.OperationalError, pymysql.err.IntegrityError), match="below_zero"):
        await db.transaction(lambda tx: tx.execute("UPDATE items SET stock = -1 WHERE id = %s", [item]))


async def test_a_search_finds_parts_of_names_as_they_are_written(db: Database) -> None:
    names = ["Blue mug", "BLUE 100% wool", "red_mug", "it's \\ fine", "Grün"]
    for name in names:
        call = CreateItem(request_id=new_id(), name=name, price=1)
        await db.transaction(lambda tx, call=call: calls.create_item(call, tx))
    found = {}
    for q in ("blue", "%", "_", "'", "\\", "GRÜN", "mug", "nothing"):
        page = await db.read(lambda r, q=q: calls.list_items(ListItems(q=q), r))
        found[q] = [names.index(item.name) for item in page.items]
    expected = {"blue": [0, 1], "%": [1], "_": [2], "'": [3], "\\": [3], "GRÜN": [4], "mug": [0, 2]}
    assert found == {**expected, "nothing": []}


async def test_a_list_that_waits_for_a_row_finds_the_order_that_is_to_blame(db: Database) -> None:
    sought, other, taken = [await _item(db, 10) for _ in range(3)]
    placing, claimed, releasing = _placed((sought, 1)), _placed((other, 1)), _placed((taken, 2))
    await _place(db, claimed, releasing)
    again, release = ReleaseStock(order_id=claimed.order_id), ReleaseStock(order_id=releasing.order_id)
    await asyncio.gather(
        blames_the_row(
            db,
            lambda tx: events.reserve_stock([placing], tx),
            events.rows_of_order(placing),
            "items",
            f"id = {sought}",
        ),
        blames_the_row(
            db,
            lambda tx: events.release_stock([again], tx),
            events.rows_of_release(again),
            "item_claims",
            f"order_id = '{claimed.order_id}'",
        ),
        blames_the_row(
            db,
            lambda tx: events.release_stock([release], tx),
            events.rows_of_release(release),
            "items",
            f"id = {taken}",
        ),
    )
    assert [await _stock(db, one) for one in (sought, other, taken)] == [10, 9, 8]
