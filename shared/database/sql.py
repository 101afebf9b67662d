"""Statements with their arguments written in: what the driver does too, but for lists of rows at once.

Every value is turned into a literal by its type; a type that is not known here is refused, never guessed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple
from uuid import UUID

from shared.clock import naive

STATEMENT_ROWS = 4000
STATEMENT_CHARACTERS = 2 * 1024 * 1024
"""How long a statement may become by its rows. Both keep it well below the server's packet limit, beyond
which the server hangs up, as if it were away."""

_VALUES = re.compile(r"(.*?\sVALUES\s*)(\([^()]*\))((?:\s+ON\s+DUPLICATE\s.*)?)", re.DOTALL | re.IGNORECASE)


# Literals and quoted names, and what may stand inside of these only. A quote alone is one that nothing ends.
_PIECES = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|(?P<refused>;|--|\#|/\*|['"`])""", re.DOTALL
)


class Cases(NamedTuple):
    """A value for each row by its `id`: what a column is set to where rows do not get the same.

    `otherwise` is the SQL of what rows get that have no value here. `queries.each` makes these.
    """

    by_id: Mapping[Any, Any]
    otherwise: str = "NULL"


def statement(sql: str, args: Sequence[Any]) -> str:
    """`sql` with a literal in place of each `%s`; a list becomes `(1,2,3)`, as `IN %s` wants it.

    Raises `ValueError` for what is not one statement.
    """
    _check_is_one(sql)
    return sql % _literals(args) if args else sql


def statements(sql: str, rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """`INSERT ... VALUES (%s, ...)` with a tuple for each row, in as few statements as are not too long.

    The tuple may hold literals too, and `ON DUPLICATE KEY UPDATE` may follow it. Raises `ValueError` for
    anything else.
    """
    head, values, tail = _around_values(sql)
    part: list[str] = []
    length = 0
    for row in zip(*map(_column, zip(*rows, strict=True)), strict=True):
        written = values % row
        if part and (len(part) == STATEMENT_ROWS or length + len(written) > STATEMENT_CHARACTERS):
            yield head + ",".join(part) + tail
            part, length = [], 0
        part.append(written)
        length += len(written)
    if part:
        yield head + ",".join(part) + tail


@lru_cache(2048)  # a service has some hundred different statements
def _check_is_one(sql: str) -> None:
    """Statements travel together, with a semicolon between them, and their answers are counted.

    A semicolon inside of one would make two of it, and a comment would take away what stands behind it: each
    asker would get another's answer. Raises `ValueError`.
    """
    for piece in _PIECES.finditer(sql):
        if refused := piece["refused"]:
            raise ValueError(
                f"{refused!r} at {piece.start()} of {sql!r}: outside of literals there may be no semicolon,"
                " no comment (-- # /*), and no quote that is not closed"
            )


@lru_cache(1024)
def _around_values(sql: str) -> tuple[str, str, str]:
    """An INSERT before, in and after its tuple. Raises `ValueError`."""
    _check_is_one(sql)
    match = _VALUES.fullmatch(sql)
    if match is None:
        raise ValueError(f"no single tuple of VALUES in {sql!r}")
    head, values, tail = match.groups()
    return head, values, tail


def literal(value: Any) -> str:
    """A value as SQL. Raises `TypeError` for a type that has no literal here."""
    return _WRITERS[type(value)](value)


def _literals(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple([_WRITERS[type(value)](value) for value in values])


def _column(values: Sequence[Any]) -> Sequence[str]:
    """The literals of one column of many rows: each value of each row of each list passes here."""
    kinds = set(map(type, values))
    if len(kinds) > 1:
        return _literals(values)
    kind = kinds.pop()
    if kind is str:
        return _texts(values)
    write = _WRITERS[kind]
    return [write(value) for value in values]


def _texts(values: Sequence[str]) -> Sequence[str]:
    """Texts as literals, escaped together with one call instead of one for each."""
    together = "\0".join(values)
    if together.count("\0") != len(values) - 1:
        return [_text(value) for value in values]
    return ("'" + _escaped(together).replace("\0", "'\0'") + "'").split("\0")


def _text(value: str) -> str:
    return "'" + _escaped(value).replace("\0", "\\0") + "'"


def _escaped(value: str) -> str:
    # The driver's own way walks through each character; documents of many events are long.
    return value.replace("\\", "\\\\").replace("'", "\\'")


@lru_cache(64)  # a list of events writes the same few moments and ids into many rows each
def _moment(value: datetime) -> str:
    return f"'{naive(value).isoformat(' ', 'microseconds')}'"


@lru_cache(1024)
def _uuid(value: UUID) -> str:
    return f"'{value}'"


def _number(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"{value!r} cannot be an argument of a statement: it has no literal in SQL")
    return repr(value)


def _list(value: Sequence[Any]) -> str:
    return f"({','.join(_literals(value))})"


def _cases(value: Cases) -> str:
    if not value.by_id:
        return value.otherwise
    whens = " ".join(f"WHEN {literal(row)} THEN {literal(one)}" for row, one in value.by_id.items())
    return f"CASE id {whens} ELSE {value.otherwise} END"


class _Writers(dict[type, Callable[[Any], str]]):
    """How values of a type become literals; those of a subclass as those of its base."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        for base, write in list(self.items()):
            if issubclass(kind, base):
                self[kind] = write
                return write
        raise TypeError(f"{kind.__name__} cannot be an argument of a statement")


_WRITERS = _Writers(
    {
        str: _text,
        bool: lambda value: "1" if value else "0",
        int: str,
        type(None): lambda _: "NULL",
        UUID: _uuid,
        datetime: _moment,
        list: _list,
        tuple: _list,
        Cases: _cases,
        Decimal: str,
        float: _number,
    }
)
