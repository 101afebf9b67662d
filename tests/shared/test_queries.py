"""What statements are built of: columns by name, rows as Structs, a value for each row, pages."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.database.queries import CASES_PER_STATEMENT, Row, Select, columns, each, page, values
from shared.database.sql import statement
from shared.database.units import Database
from shared.ids import least_id, new_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Status(Enum):
    PENDING = "PENDING"


class Part(msgspec.Struct):
    amount: int


class Quick(Row):
    id: UUID
    status: Status
    paid: bool
    reason: str | None
    due_at: datetime | None
    parts: list[Part] | None
    names: dict[int, str] | None = None


class Named(msgspec.Struct, kw_only=True):
    id: UUID
    status: Status
    paid: bool
    reason: str | None
    due_at: datetime | None
    parts: list[Part] | None
    names: dict[int, str] | None = None


def test_columns_stand_in_the_order_of_the_fields() -> None:
    assert columns(Part) == "`amount`"
    assert columns(Part, of="p") == "p.`amount`"
    assert columns(Part, of="p", made={"amount": "SUM(p.amount)"}) == "SUM(p.amount) AS `amount`"


@pytest.mark.parametrize("kind", [Quick, Named])
def test_rows_become_structs_as_their_fields_say(kind: type[Any]) -> None:
    one = new_id()
    rows = [
        (str(one), "PENDING", 1, "null", NOON, '[{"amount": 5}]', '{"7": "true"}'),
        (str(one), "PENDING", 0, None, None, None, None),
    ]

    assert Select(kind, "FROM orders").read(rows) == [
        kind(
            id=one,
            status=Status.PENDING,
            paid=True,
            reason="null",
            due_at=NOON,
            parts=[Part(5)],
            names={7: "true"},
        ),
        kind(id=one, status=Status.PENDING, paid=False, reason=None, due_at=None, parts=None, names=None),
    ]


@pytest.mark.parametrize("kind", [Quick, Named])
def test_what_is_written_is_what_is_read(kind: type[Any]) -> None:
    one = kind(
        id=new_id(),
        status=Status.PENDING,
        paid=True,
        reason=None,
        due_at=NOON,
        parts=[Part(5)],
        names={7: "a"},
    )

    written = values(one)
    assert written == [one.id, Status.PENDING, True, None, NOON, '[{"amount":5}]', '{"7":"a"}']
    written[:2] = [str(one.id), "PENDING"]
    assert Select(kind, "FROM orders").read([tuple(written)]) == [one]


@pytest.mark.parametrize(
    "row",
    [
        ("x", "PENDING", 1, None, None, None, None),
        (str(new_id()), "GONE", 1, None, None, None, None),
        (str(new_id()), "PENDING", 1, 5, None, None, None),
        (str(new_id()), "PENDING", 1, None, None, '[{"amount": "5"}]', None),
    ],
)
@pytest.mark.parametrize("kind", [Quick, Named])
def test_what_is_no_value_of_its_field_is_refused(kind: type[Any], row: tuple[Any, ...]) -> None:
    with pytest.raises(msgspec.ValidationError):
        Select(kind, "FROM orders").read([row])


def test_more_can_be_said_of_a_select() -> None:
    parts = Select(Part, "FROM parts")

    assert (parts + "WHERE id = %s").of(3).question == ("SELECT `amount` FROM parts WHERE id = %s", (3,))
    assert (parts + "WHERE id IN %s").among({3, 1}).question == (
        "SELECT `amount` FROM parts WHERE id IN %s",
        [[1, 3]],
    )
    assert parts.among([]).question is None
    assert parts.of().then(len).read([(1,), (2,)]) == 2


async def test_a_select_is_read_from_the_server(db: Database) -> None:
    made = {"id": "'%s'" % (one := new_id()), "status": "'PENDING'", "paid": "1 = 1", "reason": "'5'"}
    made |= {"due_at": "NULL", "parts": "'[]'", "names": "NULL"}
    select = Select(Quick, "WHERE 1 = %s", made=made)

    found = await db.read(lambda reader: reader.find_one(select, 1))
    nothing = await db.read(lambda reader: reader.find_one(select, 2))

    assert found == Quick(one, Status.PENDING, True, "5", None, [])
    assert nothing is None


def test_each_row_gets_its_own_value() -> None:
    [(cases, ids)] = each({2: "it's", 1: None})
    [(some, all_)] = each({2: 5}, ids=[1, 2], otherwise="stock")
    [(none, _)] = each({}, ids=[1, 2], otherwise="stock")

    assert statement("SET name = %s WHERE id IN %s", [cases, ids]) == (
        "SET name = CASE id WHEN 2 THEN 'it\\'s' WHEN 1 THEN NULL ELSE NULL END WHERE id IN (2,1)"
    )
    assert statement("%s %s", [some, all_]) == "CASE id WHEN 2 THEN 5 ELSE stock END (1,2)"
    assert statement("%s", [none]) == "stock"
    assert list(each({})) == []


@given(rows=st.integers(0, 3 * CASES_PER_STATEMENT), with_values=st.floats(0, 1))
def test_no_statement_has_too_many_cases_and_none_is_lost(rows: int, with_values: float) -> None:
    by_id = {number: -number for number in range(int(rows * with_values))}

    portions = list(each(by_id, ids=range(rows), otherwise="stock"))

    assert all(len(ids) <= CASES_PER_STATEMENT for _, ids in portions)
    assert [row for _, ids in portions for row in ids] == list(range(rows))
    assert {row: value for cases, _ in portions for row, value in cases.by_id.items()} == by_id


@pytest.mark.parametrize(
    ("there", "shown", "after"), [(0, [], None), (2, [0, 1], None), (3, [0, 1, 2], None), (4, [0, 1, 2], 2)]
)
async def test_a_page_says_whether_another_follows(there: int, shown: list[int], after: int | None) -> None:
    async def find(most: int) -> Sequence[int]:
        return range(min(there, most))

    assert await page(3, find, lambda one: one) == (shown, after)


def test_the_least_id_of_a_moment_is_before_all_ids_of_it() -> None:
    made = new_id()
    at = datetime.fromtimestamp((made.int >> 80) / 1000, UTC)

    assert least_id(at) <= made < least_id(at + timedelta(milliseconds=1))
    assert least_id(datetime(1900, 1, 1, tzinfo=UTC)) == UUID(int=0)
    assert least_id(datetime(9999, 1, 1, tzinfo=UTC)).int < 2**128
