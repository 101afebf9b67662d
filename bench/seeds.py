"""Old orders by the hundred thousand, and a backlog of events: written by the database itself, in sets."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pymysql

from order_svc.contracts import OrderCompleted
from shared.database.transaction import Emitted
from shared.events.packing import pack

ORDERS = "order_svc"
PART = 50_000
"""So many copies in one statement: a transaction that the database's log can hold."""
WRITTEN_PAGES = 50
"""A database that writes fewer pages in a second has nothing in a hurry."""
OURS_EACH = 100
"""One in so many old orders is of the buyer who looks; the others are of people whom nobody asks for."""
_STRANGERS = 1_000_000
_TABLES = (("orders", "id"), ("participants", "order_id"), ("order_history", "order_id"))
_N = "(a.n * 1000 + b.n + 1)"
_ID = f"CONCAT(LPAD(LOWER(HEX({_N})), 8, '0'), '-0000-7000-8000-000000000000')"


def grow_orders(
    connection: "pymysql.connections.Connection[Any]", like: str, until: int, database: str = ORDERS
) -> None:
    """Have `until` old orders: copies of the order `like`, with its participants and its history.

    Their ids are older than those of all real orders, and rise as those do.
    """
    with connection.cursor() as cursor:
        have = _count(cursor, f"SELECT COUNT(*) FROM {database}.orders WHERE id < '00100000'")
        buyer = _count(cursor, f"SELECT buyer_id FROM {database}.orders WHERE id = %s", [like])
        said_anew = {"buyer_id": f"IF(MOD({_N}, {OURS_EACH}) = 0, {buyer}, {_STRANGERS} + MOD({_N}, 20000))"}
        for table, key in _TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS {database}.bench_like")
            cursor.execute(
                f"CREATE TABLE {database}.bench_like AS SELECT * FROM {database}.{table}"
                f" WHERE {key} = %s ORDER BY id",
                [like],
            )
            for first in range(have + 1, until + 1, PART):
                last = min(first + PART - 1, until)
                _copy(cursor, database, table, {key: _ID, **said_anew}, first, last)
        cursor.execute(f"DROP TABLE {database}.bench_like")


def settle(connection: "pymysql.connections.Connection[Any]", seconds: float) -> None:
    """Wait until the database writes no more of what it was given to disk, for so many seconds at most.

    Having many rows is what is to be measured, and not having made them a moment ago.
    """
    deadline = time.monotonic() + seconds
    before = float("inf")
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
            row = cursor.fetchone()
            dirty = int(row[1]) if row else 0
            if dirty > before - WRITTEN_PAGES:
                return
            before = dirty
            time.sleep(1)


def forget_orders(connection: "pymysql.connections.Connection[Any]", database: str = ORDERS) -> None:
    """Delete the old orders again."""
    with connection.cursor() as cursor:
        for table, key in _TABLES:
            while cursor.execute(f"DELETE FROM {database}.{table} WHERE {key} < '00100000' LIMIT {PART}"):
                pass


def fill_outbox(
    connection: "pymysql.connections.Connection[Any]", rows: int, buyer: int, database: str = ORDERS
) -> None:
    """Have so many messages wait in the order service's outbox, as an outage of the broker leaves them.

    They tell of the completion of an order that nobody waits for, so that hearing them does nothing.
    """
    event = OrderCompleted(
        order_id=UUID(int=0),
        buyer_id=buyer,
        total=0,
        paid=False,
        version=1,
        participants=[],
        history=[],
        item_names={},
    )
    [message] = pack("order", [Emitted(event, 1)], [])
    with connection.cursor() as cursor:
        _numbers(cursor, database)
        cursor.execute(
            f"INSERT INTO {database}.outbox"
            " (id, type, count, subjects, correlation_id, body, created_at, available_at, attempts)"
            f" SELECT {_ID}, %s, 1, %s, NULL, %s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 0"
            f" FROM {_counting(database)}",
            [message.type, message.subjects, message.body.decode(), 1, rows],
        )


def waiting(connection: "pymysql.connections.Connection[Any]", database: str = ORDERS) -> int:
    """How many of them still wait."""
    with connection.cursor() as cursor:
        return _count(cursor, f"SELECT COUNT(*) FROM {database}.outbox WHERE id < '00100000'")


def _numbers(cursor: "pymysql.cursors.Cursor", database: str) -> None:
    """A table of the numbers from 0 to 999: two of it side by side count to a million."""
    table = f"{database}.bench_numbers"
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} (n BIGINT PRIMARY KEY)")
    cursor.executemany(f"INSERT IGNORE INTO {table} (n) VALUES (%s)", [(n,) for n in range(1000)])


def _counting(database: str) -> str:
    """The numbers from one to another, both placeholders, as `_N`; walked through in their order."""
    numbers = f"{database}.bench_numbers"
    return f"{numbers} a STRAIGHT_JOIN {numbers} b ON {_N} BETWEEN %s AND %s"


def _copy(
    cursor: "pymysql.cursors.Cursor",
    database: str,
    table: str,
    said_anew: dict[str, str],
    first: int,
    last: int,
) -> None:
    """Copies of the rows in `bench_like`, for each number: all columns but those numbered or said anew.

    From a table apart: a statement that reads what it writes to has to keep all of it aside first.
    """
    _numbers(cursor, database)
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        " AND extra NOT LIKE '%%auto_increment%%' ORDER BY ordinal_position",
        [database, table],
    )
    columns = [str(row[0]) for row in cursor.fetchall()]
    values = [said_anew.get(column, f"t.`{column}`") for column in columns]
    names = ", ".join(f"`{column}`" for column in columns)
    cursor.execute(
        f"INSERT INTO {database}.{table} ({names}) SELECT {', '.join(values)}"
        f" FROM {_counting(database)} STRAIGHT_JOIN {database}.bench_like t"
        " WHERE a.n BETWEEN %s AND %s",
        [first, last, (first - 1) // 1000, (last - 1) // 1000],
    )


def _count(cursor: "pymysql.cursors.Cursor", sql: str, arguments: Sequence[Any] = ()) -> int:
    cursor.execute(sql, arguments)
    row = cursor.fetchone()
    return int(row[0]) if row else 0
