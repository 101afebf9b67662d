"""What statements are built of: lists of columns made from the Struct that they fill, and rows as Structs.

A column bears the name of the field that it fills, so nobody counts columns, and none can take the place of
another. Tests ask the server for each `Select` that stands in a module and compare names and types.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.inspect import CollectionType, DictType, StructType, Type, UnionType, type_info
from msgspec.structs import FieldInfo, astuple, fields

from shared.database.sql import Cases

CASES_PER_STATEMENT = 500
"""The database walks through a CASE for every row, so one of thousands of rows would cost its square."""

_json = msgspec.json.Encoder()

Question = tuple[str, Sequence[Any]]
"""A statement with its arguments."""

T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K")


class Row(msgspec.Struct, array_like=True):
    """What one row of a `Select` becomes, where no other Struct fits. Read the fastest, and never sent."""


class Query(NamedTuple, Generic[T]):
    """A question together with what its rows are read as: what a unit of work may ask along with others.

    Without a question nothing is asked, and no rows are read: a list in SQL must not be empty.
    """

    question: Question | None
    read: Callable[[list[tuple[Any, ...]]], T]

    def then(self, change: Callable[[T], U]) -> "Query[U]":
        """The same question, its answer changed once more."""
        return Query(self.question, lambda rows: change(self.read(rows)))


class Select(Generic[T]):
    """A SELECT whose rows become Structs of one kind: `Select(OrderRow, "FROM orders WHERE id IN %s")`.

    Booleans, ids (UUID), enumerations and JSON documents are read as the fields say. `of` is the table whose
    columns they are, where there are several; `made` holds the SQL of those fields that are no such columns.
    """

    def __init__(
        self, kind: type[T], tail: str, *, of: str = "", made: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.sql = f"SELECT {columns(kind, of=of, made=made or {})} {tail}"
        self.read: Callable[[list[tuple[Any, ...]]], list[T]] = _reading(kind)

    def __add__(self, tail: str) -> "Select[T]":
        """The same with more said about which rows are wanted."""
        more = copy(self)
        more.sql = f"{self.sql} {tail}"
        return more

    def of(self, *args: Any) -> Query[list[T]]:
        """The query with these arguments."""
        return Query((self.sql, args), self.read)

    def among(self, values: Collection[Any]) -> Query[list[T]]:
        """The query whose one argument is the list of these values, in order; for none nothing is asked."""
        return Query((self.sql, [sorted(values)]) if values else None, self.read)


def columns(kind: type, *, of: str = "", made: Mapping[str, str] | None = None) -> str:
    """The columns that fill a Struct, in the order of its fields; `made` is the SQL of those without one."""
    table = f"{of}." if of else ""
    made = made or {}
    return ", ".join(
        f"{made[field.name]} AS `{field.name}`" if field.name in made else f"{table}`{field.name}`"
        for field in _fields(kind)
    )


def values(row: msgspec.Struct) -> list[Any]:
    """What the columns of a Struct hold of it, in the order of `columns`: documents as JSON."""
    found = list(astuple(row))
    for place, _ in _documents(type(row)):
        if found[place] is not None:
            found[place] = _json.encode(found[place]).decode()
    return found


def each(
    by_id: Mapping[K, Any], *, ids: Collection[K] | None = None, otherwise: str = "NULL"
) -> Iterator[tuple[Cases, list[K]]]:
    """Give each row its own value, by its `id`, a bounded number of rows in a statement:

        for stock, ids in each(stocks):
            await tx.write("UPDATE items SET stock = %s WHERE id IN %s", [stock, ids])

    `ids` names the rows where not all of them have a value of their own; what these get is `otherwise`, in
    SQL: their column's name leaves them as they are.
    """
    rows = list(by_id if ids is None else ids)
    for start in range(0, len(rows), CASES_PER_STATEMENT):
        part = rows[start : start + CASES_PER_STATEMENT]
        yield Cases({row: by_id[row] for row in part if row in by_id}, otherwise), part


async def page(
    limit: int, find: Callable[[int], Awaitable[Sequence[T]]], key: Callable[[T], K]
) -> tuple[list[T], K | None]:
    """The first `limit` of what `find` finds, and the key of the last, if there is more to come after it.

    `find` is asked for one more than the page holds, which says whether another page follows.
    """
    found = await find(limit + 1)
    shown = list(found[:limit])
    return shown, key(shown[-1]) if len(found) > limit else None


# Reading -------------------------------------------------------------------------------------------------


def _fields(kind: type) -> tuple[FieldInfo, ...]:
    return fields(kind)  # type: ignore[arg-type]  raises TypeError for what is no Struct


@lru_cache(None)
def _documents(kind: type) -> list[tuple[int, msgspec.json.Decoder[Any]]]:
    """Where a Struct has fields whose columns hold JSON, and what reads it."""
    return [
        (place, msgspec.json.Decoder(field.type))
        for place, field in enumerate(_fields(kind))
        if _is_document(type_info(field.type))
    ]


@lru_cache(None)
def _reading(kind: type[T]) -> Callable[[list[tuple[Any, ...]]], list[T]]:
    """How rows become Structs of a kind: with one call for all of them, since lists are long."""
    list_of_kind: Any = list[kind]
    names = [field.encode_name for field in _fields(kind)]
    documents = _documents(kind)
    is_array = kind.__struct_config__.array_like  # type: ignore[attr-defined]

    def read(rows: list[tuple[Any, ...]]) -> list[T]:
        values: Sequence[Any] = [_decoded(row, documents) for row in rows] if documents else rows
        if not is_array:
            values = [dict(zip(names, row, strict=True)) for row in values]
        # Not strict: the server writes booleans as numbers. Texts are never taken for anything but texts.
        return msgspec.convert(values, list_of_kind, strict=False)

    return read


def _decoded(row: Sequence[Any], documents: Sequence[tuple[int, msgspec.json.Decoder[Any]]]) -> list[Any]:
    values = list(row)
    for place, decoder in documents:
        if values[place] is not None:
            values[place] = decoder.decode(values[place])
    return values


def _is_document(kind: Type) -> bool:
    """Whether a field's column holds JSON: what has parts is no value of SQL."""
    if isinstance(kind, UnionType):
        return any(map(_is_document, kind.types))
    return isinstance(kind, CollectionType | DictType | StructType)
