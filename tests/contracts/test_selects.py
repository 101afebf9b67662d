"""Every `Select` of a module is answered by the tables as they are, with what its Struct's fields say."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from msgspec import inspect
from pymysql.constants import FIELD_TYPE

from deploy.databases import connect
from deploy.local.layout import Layout
from deploy.services import load_services
from shared.database.queries import Select
from shared.events.claims import Claims
from tests.contracts.house import modules

PACKAGES = [service.module for service in load_services() if service.database]
# The platform's tables are the same in every database; any service's will do.
SCHEMA_OF = {"shared": "order_svc"} | {package: package for package in PACKAGES}

WHOLE = {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG}
TEXT = {
    FIELD_TYPE.VARCHAR,
    FIELD_TYPE.VAR_STRING,
    FIELD_TYPE.STRING,
    FIELD_TYPE.BLOB,
    FIELD_TYPE.MEDIUM_BLOB,
    FIELD_TYPE.LONG_BLOB,
    FIELD_TYPE.JSON,
}
UUID_LENGTH = 36


class Column(NamedTuple):
    """What the server says of a column of its answer."""

    name: str
    type_code: int
    display_size: None
    length: int
    precision: int
    scale: int
    nullable: bool


def selects() -> Iterator[tuple[str, str, Select[Any]]]:
    """Those that stand in modules or in their claims, each with its package and its name."""
    for package in SCHEMA_OF:
        for module in modules(package):
            for name, value in vars(module).items():
                inside = vars(value) if isinstance(value, Claims) else {}
                for select in (value, *inside.values()):
                    if isinstance(select, Select):
                        yield package, f"{module.__name__}.{name}", select


SELECTS = {name: (package, select) for package, name, select in selects()}


def without_arguments(sql: str) -> str:
    """The statement with something in place of its arguments that the server takes anywhere."""
    sql = re.sub(r"LIMIT %s", "LIMIT 0", sql)
    sql = re.sub(r"IN %s", "IN (NULL)", sql)
    return sql.replace("%s", "NULL").replace("%%", "%")


def misfits(select: Select[Any], answer: list[Column]) -> list[str]:
    """Where a Struct and the columns that are to fill it differ."""
    fields = msgspec.structs.fields(select.kind)
    if [field.name for field in fields] != [column.name for column in answer]:
        return [f"{[field.name for field in fields]} are filled by {[column.name for column in answer]}"]
    found: list[str] = []
    for field, column in zip(fields, answer, strict=True):
        kinds = _kinds(inspect.type_info(field.type))
        is_column = f" AS `{field.name}`" not in select.sql
        if is_column and column.nullable and inspect.NoneType not in map(type, kinds):
            found.append(f"{field.name} may be NULL")
        if not all(_fits(kind, column) for kind in kinds):
            found.append(f"{field.name}: {field.type} is no {column.type_code} of {column.length}")
    return found


def _kinds(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _fits(kind: inspect.Type, column: Column) -> bool:
    code = column.type_code
    match kind:
        case inspect.NoneType():
            return True
        case inspect.BoolType():
            return code in WHOLE
        case inspect.IntType():
            return code in WHOLE or (code == FIELD_TYPE.NEWDECIMAL and column.scale == 0)
        case inspect.FloatType():
            return code in (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE)
        case inspect.DateTimeType():
            return code in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)
        case inspect.DateType():
            return code == FIELD_TYPE.DATE
        case inspect.UUIDType():
            return code in TEXT and column.length >= UUID_LENGTH
        case _:  # texts, words of our own, and documents
            return code in TEXT


@pytest.mark.parametrize("name", SELECTS)
def test_a_select_is_answered_by_the_columns_that_its_struct_names(
    servers: Layout, schemas: dict[str, str], name: str
) -> None:
    package, select = SELECTS[name]
    url = f"{servers.admin_url.rstrip('/')}/{schemas[SCHEMA_OF[package]]}"
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(without_arguments(select.sql))
        answer = [Column(*column) for column in cursor.description]

    assert misfits(select, answer) == []


class Looked(msgspec.Struct):
    id: UUID
    at: datetime | None
    on: date
    paid: bool
    sum: int
    words: list[str]


RIGHT = [
    Column("id", FIELD_TYPE.STRING, None, 36, 36, 0, False),
    Column("at", FIELD_TYPE.DATETIME, None, 26, 26, 6, True),
    Column("on", FIELD_TYPE.DATE, None, 10, 10, 0, False),
    Column("paid", FIELD_TYPE.TINY, None, 1, 1, 0, False),
    Column("sum", FIELD_TYPE.NEWDECIMAL, None, 41, 41, 0, True),
    Column("words", FIELD_TYPE.BLOB, None, 65535, 65535, 0, False),
]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, {"name": "order_id"}),
        (0, {"length": 20}),
        (0, {"nullable": True}),
        (1, {"type_code": FIELD_TYPE.DATE}),
        (2, {"type_code": FIELD_TYPE.DATETIME}),
        (3, {"type_code": FIELD_TYPE.STRING}),
        (4, {"scale": 4}),
        (5, {"type_code": FIELD_TYPE.LONG}),
    ],
)
def test_what_does_not_fit_is_noticed(place: int, wrong: dict[str, Any]) -> None:
    select = Select(Looked, "FROM looked", made={"sum": "SUM(total)"})
    columns = [*RIGHT]
    assert misfits(select, columns) == []

    columns[place] = columns[place]._replace(**wrong)
    assert len(misfits(select, columns)) == 1
