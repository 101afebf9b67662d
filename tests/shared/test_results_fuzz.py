"""Our reader and writer of the database's protocol against the driver's, on whatever may be in a row."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pymysql.err
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.addresses import DATABASE, parse
from shared.database.connection import Connection, connect
from shared.database.results import Outcome, OutOfStep, outcomes
from shared.database.sql import literal, statement, statements

ON_A_SERVER = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
COLUMNS = {
    "small": ("TINYINT", st.integers(-128, 127)),
    "whole": ("BIGINT", st.integers(-(2**63), 2**63 - 1)),
    "unsigned_whole": ("BIGINT UNSIGNED", st.integers(0, 2**64 - 1)),
    "money": ("DECIMAL(20,0)", st.integers(-(10**19), 10**19)),
    "part": ("DECIMAL(20,6)", st.decimals(-(10**13), 10**13, places=6)),
    "real_number": ("DOUBLE", st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)),
    "short": ("VARCHAR(300)", st.text(st.characters(exclude_categories=["Cs"]), max_size=300)),
    "long_text": (
        "LONGTEXT",
        st.builds(str.__mul__, st.text("a\\'\"\0%\n한🧥`;-#", max_size=9), st.integers(0, 9000)),
    ),
    "moment": ("DATETIME(6)", st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001  a bound
    "day": ("DATE", st.dates(date(1000, 1, 1)).map(str)),
    "document": ("JSON", st.sampled_from(['{"a": [1, null, "żółć \\\\ \\" \'"]}', "[]", '"x"'])),
}
ROWS = st.lists(st.tuples(*(st.none() | values for _, values in COLUMNS.values())), max_size=5)


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    """A connection as units of work have it, with a table of all types that are read here."""
    connection = await connect(parse(url, DATABASE), answer_s=30, lock_wait_s=5)
    columns = ", ".join(f"{name} {kind} NULL" for name, (kind, _) in COLUMNS.items())
    table = f"CREATE TEMPORARY TABLE fuzz (id INT AUTO_INCREMENT PRIMARY KEY, {columns})"
    await outcomes(connection, [f"{table} CHARACTER SET utf8mb4"])
    yield connection
    connection.close()


async def _theirs(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    async with connection.cursor() as cursor:
        await cursor.execute(sql)
        return [tuple(map(_as_ours, row)) for row in await cursor.fetchall()]


def _as_ours(value: Any) -> Any:
    """The driver knows no zones, and takes decimals without places for decimals still."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    is_whole = isinstance(value, Decimal) and value.as_tuple().exponent == 0
    return int(value) if is_whole else value


@ON_A_SERVER
@given(ROWS)
async def test_rows_come_back_as_they_were_written_and_as_the_driver_reads_them(
    connection: Connection, rows: list[tuple[Any, ...]]
) -> None:
    names = ", ".join(COLUMNS)
    insert = f"INSERT INTO fuzz ({names}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
    select = f"SELECT {names} FROM fuzz ORDER BY id"
    *_, found = await outcomes(connection, ["DELETE FROM fuzz", *statements(insert, rows), select])
    assert found.rows == await _theirs(connection, select)
    day = list(COLUMNS).index("day")
    assert found.rows == [
        tuple(date.fromisoformat(value) if at == day and value else value for at, value in enumerate(row))
        for row in rows
    ]


@ON_A_SERVER
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8))
async def test_texts_say_the_same_in_our_literals_and_the_drivers(
    connection: Connection, texts: list[str]
) -> None:
    ours = statement(f"SELECT {', '.join(['%s'] * len(texts))}", texts)
    theirs = f"SELECT {', '.join(map(connection.literal, texts))}"
    one, two = await outcomes(connection, [ours, theirs])
    assert one.rows == two.rows == [tuple(texts)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object(), {1}, 1j])
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        literal(value)


async def test_rows_longer_than_a_packet_are_the_drivers(connection: Connection) -> None:
    sql = "SELECT 1, REPEAT('x', 9000000), REPEAT('ż', 4000000), NULL, REPEAT('z', 70000)"
    [found] = await outcomes(connection, [sql])
    assert sum(len(value) for value in found.rows[0] if isinstance(value, str)) > 13_000_000
    assert found.rows == await _theirs(connection, sql)


# Portions -------------------------------------------------------------------------------------------------

JOURNEY = (
    "DO 1",
    "SELECT id, short, moment FROM fuzz",
    "SELECT 1 UNION SELECT 2 UNION SELECT NULL",
    "SELECT CAST('12x' AS SIGNED), 'a warning is told with this one'",
    "UPDATE fuzz SET small = 1",
    "SELECT REPEAT('y', 300), REPEAT('z', 70000), ''",
)
FAILING = ("SELECT 1", "SELECT nothing FROM nowhere", "SELECT 2")


class _Replayed:
    """A connection on which an answer that was recorded arrives in portions."""

    def __init__(self, answer: bytes, cuts: list[int]) -> None:
        self._reader = self
        self._portions = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True) if b > a]
        self.is_closed = False
        self.server_status = 0

    async def _execute_command(self, *_: object) -> None: ...

    async def read(self, _: int) -> bytes:
        return self._portions.pop(0) if self._portions else b""

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
async def recorded(connection: Connection) -> tuple[list[Outcome], bytes, bytes]:
    """What came of the journey, the bytes that said it, and those of one that fails in the middle."""
    reader: Any = connection._reader
    arrived: list[bytes] = []
    read = reader.read

    async def recording(size: int) -> bytes:
        arrived.append(await read(size))
        return arrived[-1]

    insert = "INSERT INTO fuzz (short, moment) VALUES ('it''s', '2026-11-30 12:00:00'), (NULL, NULL)"
    await outcomes(connection, [insert])
    reader.read = recording
    found = await outcomes(connection, list(JOURNEY))
    answer = b"".join(arrived)
    arrived.clear()
    with pytest.raises(pymysql.err.ProgrammingError):
        await outcomes(connection, list(FAILING))
    return found, answer, b"".join(arrived)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_answers_may_arrive_in_any_portions(
    recorded: tuple[list[Outcome], bytes, bytes], data: st.DataObject
) -> None:
    found, answer, failing = recorded
    near = st.integers(0, 400) | st.integers(0, len(answer))
    cuts = sorted(set(data.draw(st.lists(near, max_size=40))) | {len(answer)})
    replayed = _Replayed(answer, [cut for cut in cuts if cut < len(answer)])
    assert await outcomes(replayed, list(JOURNEY)) == found
    assert not replayed.is_closed
    replayed = _Replayed(failing, [cut for cut in cuts if cut < len(failing)])
    begun: list[Outcome] = []
    with pytest.raises(pymysql.err.ProgrammingError):
        await outcomes(replayed, list(FAILING), begun)
    assert [one.rows for one in begun] == [[(1,)]], "says which statement it was that failed"
    assert not replayed.is_closed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_an_answer_that_ends_anywhere_costs_the_connection_and_is_no_answer(
    recorded: tuple[list[Outcome], bytes, bytes], data: st.DataObject
) -> None:
    _, answer, _ = recorded
    until = data.draw(st.integers(0, len(answer) - 1) | st.integers(0, 400))
    replayed = _Replayed(answer[:until], [])
    with pytest.raises(pymysql.err.OperationalError) as error:
        await outcomes(replayed, list(JOURNEY))
    assert error.value.args[0] == 2013
    assert replayed.is_closed


@pytest.mark.parametrize("statements", [JOURNEY[:-1], (*JOURNEY, "SELECT 1"), JOURNEY[:1]])
async def test_more_or_fewer_answers_than_statements_cost_the_connection(
    recorded: tuple[list[Outcome], bytes, bytes], statements: tuple[str, ...]
) -> None:
    replayed = _Replayed(recorded[1], [])
    with pytest.raises(OutOfStep):
        await outcomes(replayed, list(statements))
    assert replayed.is_closed


async def test_columns_without_an_end_cost_the_connection() -> None:
    """So newer servers answer if they are let: the end of columns is left out."""

    def packet(number: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "little") + bytes([number]) + payload

    column = b"\3def\0\0\0\1n\0\x0c\x3f\0\1\0\0\0\3\x81\0\0\0\0"
    row, end = b"\x017", b"\xfe\0\0\2\0"
    good = packet(1, b"\1") + packet(2, column) + packet(3, end) + packet(4, row) + packet(5, end)
    assert (await outcomes(_Replayed(good, []), ["SELECT 7 AS n"]))[0].rows == [(7,)]
    without = packet(1, b"\1") + packet(2, column) + packet(3, row) + packet(4, end)
    replayed = _Replayed(without, [])
    with pytest.raises(OutOfStep, match="their end"):
        await outcomes(replayed, ["SELECT 7 AS n"])
    assert replayed.is_closed
