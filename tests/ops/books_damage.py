"""Damage to rows, made up from what is read: every column changed, every row dropped and doubled."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, get_args, get_type_hints

from ops.verify.tables import Table
from tests.ops.books_rows import (
    BUYER,
    FUTURE,
    LONG_AGO,
    OTHER,
    PAID_LATER,
    SHIRT,
    SOCK,
    STRANGER,
    UNPAID,
    Rows,
    payment_id,
)

DROPPED, DOUBLED = "(dropped)", "(doubled)"

# What may stand in a column of words or ids.
_WORDS: dict[str, tuple[Any, ...]] = {
    "status": ("PENDING", "COMPLETED", "FAIL", "CANCEL"),
    "cause": ("initial", "order", "release", "adjustment"),
    "kind": ("capture", "refund", "charge", "reversal", "grant", "opening", "fixed", "percentage"),
    "method": ("points", "card"),
    "pay_with": ("points", "card"),
    "action": ("payment.resolved", "points.granted"),
    "resolved": ("kept", "returned", "not_charged"),
    "period": ("day", "week", "month"),
    "order_id": (STRANGER, UNPAID),
    "used_by": (STRANGER, UNPAID),
    "saga_id": (STRANGER, UNPAID),
    "payment_id": (payment_id(255), PAID_LATER),
    "item_id": (SOCK, SHIRT, 77),
    "user_id": (BUYER, OTHER, 88),
    "buyer_id": (BUYER, OTHER, 88),
}
_STATES = {
    "participants": ("AWAITING", "YES", "NO", "RELEASING", "RELEASED", "KEPT"),
    "payments": ("ASKING", "HELD", "REJECTED", "RELEASING", "RELEASED", "NEEDS_ATTENTION", "KEPT"),
    "cart_takings": ("TAKEN", "RETURNED"),
    "accounts": ("OPEN", "CLOSED"),
    "users": ("OPENING", "ACTIVE"),
    "item_claims": ("HELD", "REJECTED", "RELEASED"),
    "coupon_claims": ("HELD", "REJECTED", "RELEASED"),
}
_YES_OR_NO = ("settled", "paid", "deleted")


class Damage(NamedTuple):
    """What was done to one row, and the rows as they are then."""

    table: Table[Any]
    what: str
    row: Any
    rows: Rows
    value: Any = None

    def __str__(self) -> str:
        return f"{self.table.name}.{self.what} = {self.value!r} in {self.row}"


def damages(sound: Rows, table: Table[Any]) -> Iterator[Damage]:
    """Every damage to one row of a table."""
    rows = sound[table]
    number = _number(table)
    for place, row in enumerate(rows):
        before, after = rows[:place], rows[place + 1 :]
        yield Damage(table, DROPPED, row, sound | {table: before + after})
        if number:
            again = row._replace(**{number: _last(rows, number)})
            yield Damage(table, DOUBLED, row, sound | {table: [*rows, again]})
        for column in table.columns:
            for value in _others(table, column, row, rows):
                changed = row._replace(**{column: value})
                yield Damage(table, column, row, sound | {table: [*before, changed, *after]}, value)


def _number(table: Table[Any]) -> str | None:
    """The column that numbers the rows; where there is none the key keeps them from being there twice."""
    hints = get_type_hints(table.row)
    return next((column for column in ("position", "id") if hints.get(column) is int), None)


def _last(rows: list[Any], number: str) -> int:
    return max(getattr(row, number) for row in rows) + 1


def _others(table: Table[Any], column: str, row: Any, rows: list[Any]) -> Iterator[Any]:
    """Other values that could be there."""
    value = getattr(row, column)
    hint = get_type_hints(table.row)[column]
    may_be_empty = type(None) in get_args(hint)
    words = _STATES[table.name] if column == "state" else _WORDS.get(column, ())
    found: list[Any] = [None] if may_be_empty and value is not None else []
    if column == _number(table):
        found.append(_last(rows, column))
    elif words:
        found += words
    else:
        found += _changed(column, value, hint)
    yield from (one for one in found if one != value)


def _changed(column: str, value: Any, hint: Any) -> list[Any]:
    kinds = get_args(hint) or (hint,)
    if datetime in kinds:
        near = [value + timedelta(days=2), value - timedelta(days=2)] if value else []
        return [*near, LONG_AGO - timedelta(days=3), FUTURE + timedelta(days=3)]
    if date in kinds or isinstance(value, date):
        return [value + timedelta(days=40)]
    if column in _YES_OR_NO:
        return [1 - value]
    if int in kinds or Decimal in kinds:
        return [4] if value is None else [value + 1, value - 1]
    if value is not None and value[:1] in ("{", "["):
        return [value.replace("1", "3"), "["]
    return [f"{value or ''}x"]
