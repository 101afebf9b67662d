"""Statements with their arguments written in: what the driver does too, but for lists of rows at once.

Every value is turned into a literal by its type; a type that is not known here is refused, never guessed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pymysql.converters import escape_string

from shared.clock import naive

STATEMENT_ROWS = 4000
STATEMENT_CHARACTERS = 2 * 1024 * 1024
"""How long a statement may become by its rows. Both keep it well below the server's packet limit, beyond
which the server hangs up, as if it were away."""

_VALUES = re.compile(r"(.*?\sVALUES\s*)(\([^()]*\))((?:\s+ON\s+DUPLICATE\s.*)?)", re.DOTALL | re.IGNORECASE)


def statement(sql: str, args: Sequence[Any]) -> str:
    """`sql` with a literal in place of each `%s`; a list becomes `(1,2,3)`, as `IN %s` wants it."""
    return sql % tuple(map(literal, args)) if args else sql


def statements(sql: str, rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """`INSERT ... VALUES (%s, ...)` with a tuple for each row, in as few statements as are not too long.

    The tuple may hold literals too, and `ON DUPLICATE KEY UPDATE` may follow it. Raises `ValueError` for
    anything else.
    """
    match = _VALUES.fullmatch(sql)
    if match is None:
        raise ValueError(f"no single tuple of VALUES in {sql!r}")
    head, values, tail = match.groups()
    part: list[str] = []
    length = 0
    for row in rows:
        written = values % tuple(map(literal, row))
        if part and (len(part) == STATEMENT_ROWS or length + len(written) > STATEMENT_CHARACTERS):
            yield head + ",".join(part) + tail
            part, length = [], 0
        part.append(written)
        length += len(written)
    if part:
        yield head + ",".join(part) + tail


def literal(value: Any) -> str:
    """A value as SQL. Raises `TypeError` for a type that has no literal here."""
    write = _LITERALS.get(type(value))
    if write is not None:
        return write(value)
    for kind, write in _LITERALS.items():
        if isinstance(value, kind):
            return write(value)
    raise TypeError(f"{type(value).__name__} cannot be an argument of a statement")


def _text(value: str) -> str:
    return f"'{escape_string(value)}'"


def _moment(value: datetime) -> str:
    return f"'{naive(value).isoformat(' ', 'microseconds')}'"


def _list(value: Sequence[Any]) -> str:
    return f"({','.join(map(literal, value))})"


_LITERALS: dict[type, Callable[[Any], str]] = {
    str: _text,
    bool: lambda value: "1" if value else "0",
    int: str,
    type(None): lambda _: "NULL",
    UUID: lambda value: f"'{value}'",
    datetime: _moment,
    list: _list,
    tuple: _list,
    Decimal: str,
    float: repr,
}
