"""Answers of the database as we read them: the same values as the driver's, with times in UTC."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import aiomysql
import pymysql.err
import pytest

from shared.addresses import DATABASE, parse
from shared.database.connection import connection_options
from shared.database.results import LONGEST_PAYLOAD, Outcome, _Packets, outcomes, rows_in_parts
from shared.database.units import Database

NUMBERS = "SELECT 0, -1, 2147483648, 18446744073709551615, TRUE, 1.50, SUM(7), 2.5e0"
TEXTS = (
    "SELECT '', 'a', 'żółć 🧥', CAST('x' AS CHAR(9)), REPEAT('y', 250), REPEAT('y', 251), REPEAT('y', 65536)"
)
TIMES = "SELECT TIMESTAMP'2026-11-26 05:00:00', TIMESTAMP'2026-11-26 05:00:00.000001', DATE'2026-02-28'"
NOTHING = "SELECT NULL, '', NULL, 0, NULL"
MANY = (
    "SELECT column_name, ordinal_position FROM information_schema.columns"
    " ORDER BY CAST(column_name AS BINARY), 2"
)


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Any]:
    """A connection of the driver's, by itself."""
    async with (
        aiomysql.create_pool(
            maxsize=1, autocommit=True, **connection_options(parse(url, DATABASE)[0])
        ) as pool,
        pool.acquire() as connection,
    ):
        yield connection


async def test_values_are_those_that_the_server_wrote(connection: Any):
    numbers, texts, times, nothing = await outcomes(connection, [NUMBERS, TEXTS, TIMES, NOTHING])
    assert numbers.rows == [(0, -1, 2**31, 2**64 - 1, 1, Decimal("1.50"), 7, 2.5)]
    assert [type(value) for value in numbers.rows[0]] == [int] * 5 + [Decimal, int, float]
    assert texts.rows == [("", "a", "żółć 🧥", "x", "y" * 250, "y" * 251, "y" * 65536)]
    moment = datetime(2026, 11, 26, 5, tzinfo=UTC)
    assert times.rows == [(moment, moment.replace(microsecond=1), date(2026, 2, 28))]
    assert nothing.rows == [(None, "", None, 0, None)]


async def test_bytes_stay_bytes(connection: Any):
    [found] = await outcomes(connection, ["SELECT CAST(x'00FF' AS BINARY), _binary'b'"])
    assert found.rows == [(b"\x00\xff", b"b")]


async def test_a_column_of_a_type_that_is_not_read_here_is_refused(connection: Any):
    with pytest.raises(pymysql.err.NotSupportedError, match="columns of type 11"):
        await outcomes(connection, ["SELECT TIME'12:00:00'"])
    assert connection.closed, "what was not read must not be the next one's answer"


async def test_a_unit_that_reads_what_is_refused_leaves_the_pool_in_order(db: Database):
    for _ in range(5):
        with pytest.raises(pymysql.err.NotSupportedError):
            await db.transaction(lambda tx: tx.rows("SELECT TIME'12:00:00'"))
        assert await db.read(lambda reader: reader.rows("SELECT 1")) == [(1,)]


async def test_many_rows_are_the_driver_s(connection: Any):
    [found] = await outcomes(connection, [MANY])
    async with connection.cursor() as cursor:
        await cursor.execute(MANY)
        theirs = await cursor.fetchall()
    assert len(found.rows) > 1000
    assert found.rows == list(theirs)
    assert found.changed == len(theirs)


async def test_rows_in_parts_are_all_rows(connection: Any):
    [found] = await outcomes(connection, [MANY])
    for size in (1, 1000, len(found.rows), 10**6):
        parts = [part async for part in rows_in_parts(connection, MANY, size)]
        assert [row for part in parts for row in part] == found.rows
        assert {len(part) for part in parts[:-1]} <= {size}
    assert [part async for part in rows_in_parts(connection, "SELECT 1 FROM DUAL WHERE FALSE", 9)] == []
    [after] = await outcomes(connection, ["SELECT 1"])
    assert after.rows == [(1,)], "what was read to its end leaves the connection in order"


async def test_an_error_among_rows_in_parts_is_raised_and_the_connection_goes_on(connection: Any):
    with pytest.raises(pymysql.err.ProgrammingError):
        _ = [part async for part in rows_in_parts(connection, "SELECT 1 FROM no_such_table", 9)]
    [after] = await outcomes(connection, ["SELECT 1"])
    assert after.rows == [(1,)]


async def test_rows_that_are_left_unread_cost_the_connection(connection: Any):
    parts = rows_in_parts(connection, MANY, 10)
    assert len(await anext(parts)) == 10
    await parts.aclose()
    assert connection.closed, "what was not read must not be the next one's answer"


async def test_each_statement_tells_what_it_did(connection: Any):
    made, read, changed, gone = await outcomes(
        connection,
        [
            "INSERT INTO marks (`key`, text) VALUES ('a', ''), ('b', ''), ('c', '')",
            "SELECT `key` FROM marks WHERE `key` = 'nobody'",
            "UPDATE marks SET text = 'x' WHERE `key` < 'c'",
            "DELETE FROM marks",
        ],
    )
    assert made.changed == 3
    assert made.last_id > 0
    assert read == Outcome([], 0, 0)
    assert (changed.changed, gone.changed) == (2, 3)


async def test_after_a_statement_that_fails_nothing_is_done_and_the_connection_goes_on(connection: Any):
    insert = "INSERT INTO marks (`key`, text, unique_key) VALUES ('{}', '', '{}')"
    with pytest.raises(pymysql.err.IntegrityError) as error:
        await outcomes(
            connection,
            [insert.format("a", "same"), insert.format("b", "same"), insert.format("c", "c")],
        )
    assert error.value.args[0] == 1062
    with pytest.raises(pymysql.err.ProgrammingError):
        await outcomes(connection, ["SELECT FROM WHERE"])
    [found] = await outcomes(connection, ["SELECT `key` FROM marks"])
    assert found.rows == [("a",)]


async def test_an_error_in_the_middle_of_rows_is_raised(connection: Any):
    await outcomes(connection, ["INSERT INTO marks (`key`, text) VALUES ('a', ''), ('b', ''), ('c', '')"])
    with pytest.raises(pymysql.err.MySQLError, match="more than 1 row"):
        await outcomes(connection, ["SELECT id, IF(`key` = 'c', (SELECT 1 UNION SELECT 2), 0) FROM marks"])


async def test_the_driver_knows_of_a_transaction_that_is_open(connection: Any):
    await outcomes(connection, ["BEGIN"])
    assert connection.get_transaction_status()
    await outcomes(connection, ["COMMIT"])
    assert not connection.get_transaction_status()


class _Arriving:
    """A connection from which bytes arrive in portions."""

    def __init__(self, portions: list[bytes]) -> None:
        self._reader = self
        self._portions = portions
        self.is_closed = False

    async def read(self, size: int) -> bytes:
        return self._portions.pop(0) if self._portions else b""

    def close(self) -> None:
        self.is_closed = True


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


async def test_packets_may_arrive_in_any_portions_and_long_ones_in_several_packets():
    long = b"x" * LONGEST_PAYLOAD
    stream = _packet(1, b"one") + _packet(2, long) + _packet(3, b"more") + _packet(4, long) + _packet(5, b"")
    for size in (len(stream), 1_000_003):
        packets = _Packets(_Arriving([stream[at : at + size] for at in range(0, len(stream), size)]))
        assert [await packets.next() for _ in range(3)] == [b"one", long + b"more", long]
    slowly = _Packets(_Arriving([bytes([byte]) for byte in _packet(1, b"one") + _packet(2, b"two")]))
    assert [await slowly.next(), await slowly.next()] == [b"one", b"two"]


async def test_an_error_out_of_turn_means_that_the_server_is_lost():
    """So MySQL takes leave of a client that was idle for too long: before it is asked anything."""
    connection = _Arriving([_packet(0, b"\xff\xbf\x0f#HY000idle")])
    with pytest.raises(pymysql.err.OperationalError, match="out of turn") as error:
        await _Packets(connection).next()
    assert error.value.args[0] == 2013
    assert connection.is_closed


async def test_numbers_of_packets_begin_again():
    packets = _Packets(_Arriving([_packet(number % 256, b"x") for number in range(1, 600)]))
    assert [await packets.next() for _ in range(599)] == [b"x"] * 599


async def test_a_server_that_hangs_up_is_lost_and_so_is_the_connection():
    connection = _Arriving([_packet(1, b"one")[:-1]])
    with pytest.raises(pymysql.err.OperationalError) as error:
        await _Packets(connection).next()
    assert error.value.args[0] == 2013
    assert connection.is_closed
