"""The small shop many times over: each copy has people, items, coupons, orders and payments of its own."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from deploy.databases import connect
from ops.verify.tables import ITEMS, SALES_HOURS, TAKINGS, SalesHour, Table
from payment_svc.pgs import Entry
from tests.ops.books_rows import HOUR, SHIRT_PRICE, SOLD, Rows, sound_pg, sound_rows
from tests.ops.books_world import World

APART = 2_000
"""The numbers of one copy are so far from those of the next."""
PART = 2_000
_NUMBERS = {"id", "user_id", "buyer_id", "item_id", "user_coupon_id", "policy_id", "position"}
_IDS = {"id", "order_id", "payment_id", "used_by", "saga_id", "subject"}


class Copies:
    """Makes the rows of one copy after another."""

    def __init__(self) -> None:
        self.sound: Rows = sound_rows()

    def rows(self, table: Table[Any], number: int) -> list[Any]:
        """The rows of a table in a copy."""
        return [self._copied(table, row, number) for row in self.sound[table]]

    def _copied(self, table: Table[Any], row: Any, number: int) -> Any:
        values = {
            column: _moved(table, column, value, number)
            for column, value in zip(table.columns, row, strict=True)
        }
        return row._replace(**values)


def _moved(table: Table[Any], column: str, value: Any, number: int) -> Any:
    if isinstance(value, int) and column in _NUMBERS:
        return value + number * APART
    if not isinstance(value, str):
        return value
    if column == "part":
        payment_id, slash, refunded = value.partition("/")
        return f"{_moved_id(payment_id, number)}{slash}{refunded}" if value else ""
    if column in _IDS or column == "grant_id":
        return _moved_id(value, number)
    if table is ITEMS and column == "name":
        return _named(value, number)
    if column in ("lines", "event_data", "parts") or (table is TAKINGS and column == "pieces"):
        return _moved_text(value, number)
    return value


def _moved_id(text: str, number: int) -> str:
    """Ids of copies lie between those of the others, as those of real orders do."""
    if text.startswith("00000000-"):
        return f"{number:08x}{text[8:]}"
    return f"{int(text) + number * APART}" if text.isdecimal() else f"{text}-{number}"


def _named(name: str, number: int) -> str:
    """There are no two items of one name."""
    return f"{name} {number}"


def _moved_text(text: str, number: int) -> str:
    return json.dumps(_moved_json(json.loads(text), number))


def _moved_json(document: Any, number: int) -> Any:
    match document:
        case dict():
            return {
                (f"{int(name) + number * APART}" if name.isdecimal() else name): (
                    value + number * APART
                    if name in _NUMBERS and isinstance(value, int)
                    else _named(value, number)
                    if name == "name"
                    else [one + number * APART for one in value]
                    if name == "user_coupon_ids"
                    else _moved_json(value, number)
                )
                for name, value in document.items()
            }
        case list():
            return [_moved_json(one, number) for one in document]
        case str() if document.startswith("00000000-"):
            return _moved_id(document, number)
        case _:
            return document


def fill(world: World, copies: int) -> None:
    """Have so many copies in the databases."""
    made = Copies()
    with connect(world.admin_url) as connection, connection.cursor() as cursor:
        for table in made.sound:
            if table is SALES_HOURS:
                world.insert(cursor, table, [_hour(copies)])
                continue
            for part in _parts(made, table, copies):
                world.insert(cursor, table, part)


def _hour(copies: int) -> SalesHour:
    won, back, lost = Decimal(SOLD), Decimal(380), Decimal(2 * SHIRT_PRICE)
    return SalesHour(HOUR, 2 * copies, 5 * copies, won * copies, back * copies, 2 * copies, lost * copies)


def _parts(made: Copies, table: Table[Any], copies: int) -> Iterator[Sequence[Any]]:
    part: list[Any] = []
    for number in range(copies):
        part += made.rows(table, number)
        if len(part) >= PART:
            yield part
            part = []
    if part:
        yield part


def pg(copies: int) -> Iterator[Entry]:
    """What the payment gateway lists of them."""
    for number in range(copies):
        for entry in sound_pg():
            yield entry._replace(number=_moved_id(entry.number, number))
