"""Old orders by the hundred thousand, and a backlog of events: written by the database itself, in sets."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pymysql

from order_svc.contracts import OrderCompleted
from shared.database import Emitted
from shared.outbox import pack

ORDERS = "order_svc"
PART = 50_000
"""So many copies in one statement: a transaction that the database's log can hold."""
OURS_EACH = 100
"""One in so many old orders is of the buyer who looks; the others are of people whom nobody asks for."""
_STRANGERS = 1_000_000


def grow_orders(
    connection: "pymysql.connections.Connection[Any]", like: str, until: int, database: str = ORDERS
) -> None:
    """Have `until` old orders: copies of the order `like`, with its participants and its history.

    Their ids are older than those of all real orders, and rise as those do.
    """
    with connection.cursor() as cursor:
        have = _count(cursor, f"SELECT COUNT(*) FROM {database}.orders WHERE id < '00100000'")  # noqa: S608
        _numbers(cursor, until, database)
        buyer = _count(cursor, f"SELECT buyer_id FROM {database}.orders WHERE id = %s", [like])  # noqa: S608
        for first in range(have + 1, until + 1, PART):
            last = min(first + PART - 1, until)
            for table, key in (("orders", "id"), ("participants", "order_id"), ("order_history", "order_id")):
                copied = {
                    key: "CONCAT(LPAD(HEX(n.n), 8, '0'), '-0000-7000-8000-000000000000')",
                    "buyer_id": f"IF(MOD(n.n, {OURS_EACH}) = 0, {buyer}, {_STRANGERS} + MOD(n.n, 20000))",
                }
                _copy(cursor, database, table, copied, f"t.{key} = %s", [like], first, last)


def forget_orders(connection: "pymysql.connections.Connection[Any]", database: str = ORDERS) -> None:
    """Delete the old orders again."""
    with connection.cursor() as cursor:
        for table, key in (("orders", "id"), ("participants", "order_id"), ("order_history", "order_id")):
            while cursor.execute(
                f"DELETE FROM {database}.{table} WHERE {key} < '00100000' LIMIT {PART}"  # noqa: S608
            ):
                pass


def fill_outbox(
    connection: "pymysql.connections.Connection[Any]", rows: int, buyer: int, database: str = ORDERS
) -> None:
    """Have so many messages wait in the order service's outbox, as an outage of the broker leaves them.

    They tell of the completion of an order that nobody waits for, so that hearing them does nothing.
    """
    event = OrderCompleted(order_id=UUID(int=0), buyer_id=buyer, total=0)
    [message] = pack("order", [Emitted(event, 1)], [])
    with connection.cursor() as cursor:
        _numbers(cursor, rows, database)
        cursor.execute(
            f"INSERT INTO {database}.outbox"  # noqa: S608
            " (id, type, count, subjects, correlation_id, body, created_at, available_at, attempts)"
            " SELECT CONCAT(LPAD(HEX(n), 8, '0'), '-0000-7000-8000-000000000000'), %s, 1, %s, NULL, %s,"
            f" UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 0 FROM {database}.bench_numbers WHERE n <= %s",
            [message.type, message.subjects, message.body.decode(), rows],
        )


def waiting(connection: "pymysql.connections.Connection[Any]", database: str = ORDERS) -> int:
    """How many of them still wait."""
    with connection.cursor() as cursor:
        return _count(cursor, f"SELECT COUNT(*) FROM {database}.outbox WHERE id < '00100000'")  # noqa: S608


def _numbers(cursor: "pymysql.cursors.Cursor", until: int, database: str) -> None:
    """A table of the numbers from 1 on, doubled until it holds enough."""
    table = f"{database}.bench_numbers"
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} (n BIGINT PRIMARY KEY)")
    cursor.execute(f"INSERT IGNORE INTO {table} VALUES (1)")  # noqa: S608
    while (have := _count(cursor, f"SELECT MAX(n) FROM {table}")) < until:  # noqa: S608
        cursor.execute(f"INSERT INTO {table} SELECT n + {have} FROM {table}")  # noqa: S608


def _copy(
    cursor: "pymysql.cursors.Cursor",
    database: str,
    table: str,
    copied: dict[str, str],
    which: str,
    arguments: Sequence[Any],
    first: int,
    last: int,
) -> None:
    """Copies of some rows, one for each number: all columns, but for those that are numbered or said anew."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        " AND extra NOT LIKE '%%auto_increment%%' ORDER BY ordinal_position",
        [database, table],
    )
    columns = [str(row[0]) for row in cursor.fetchall()]
    values = [copied.get(column, f"t.`{column}`") for column in columns]
    names = ", ".join(f"`{column}`" for column in columns)
    cursor.execute(
        f"INSERT INTO {database}.{table} ({names}) SELECT {', '.join(values)}"  # noqa: S608
        f" FROM {database}.bench_numbers n JOIN {database}.{table} t ON {which}"
        " WHERE n.n BETWEEN %s AND %s ORDER BY n.n",
        [*arguments, first, last],
    )


def _count(cursor: "pymysql.cursors.Cursor", sql: str, arguments: Sequence[Any] = ()) -> int:
    cursor.execute(sql, arguments)
    row = cursor.fetchone()
    return int(row[0]) if row else 0
