"""Databases of all services with a small shop in them whose books balance, ready to be damaged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from deploy.databases import connect
from ops.verify.one_schema import SERVICES
from ops.verify.tables import POLICIES, Table
from tests.ops.books_rows import T, sound_rows
from tests.support.databases import migrate

_COLUMNS = (
    "SELECT column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL"
    " OR extra LIKE '%%auto_increment%%' FROM information_schema.columns"
    " WHERE table_schema = %s AND table_name = %s"
)
# Where what is not read must be so for the checks to hold.
_OTHERWISE: dict[Table[Any], Callable[[Any], dict[str, Any]]] = {
    POLICIES: lambda policy: {"issued": {1: 3, 2: 1}[policy.id % 2_000], "quantity": 3, "per_user_limit": 2}
}


class World:
    """The databases, under names of their own beside those of a running shop."""

    def __init__(self, admin_url: str) -> None:
        self.server = admin_url[: -len(path)] if (path := urlsplit(admin_url).path) else admin_url
        self.admin_url = admin_url
        self.prefix = f"test_books_{uuid4().hex[:8]}_"

    def database(self, service: str) -> str:
        """The name of a service's database."""
        return f"{self.prefix}{service}_svc"

    def url_of(self, service: str) -> str:
        """The URL of a service's database."""
        return f"{self.server}/{self.database(service)}"

    def run(self, service: str, *statements: str) -> None:
        """Change something in a service's database, as no service would."""
        with connect(self.url_of(service)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def refill(self) -> None:
        """Back to the books that balance."""
        with connect(self.admin_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables"
                " WHERE table_schema LIKE %s AND table_name <> 'tortoise_migrations'",
                (self.prefix.replace("_", r"\_") + "%",),
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f"DELETE FROM {table}")
            for table, rows in sound_rows().items():
                self.insert(cursor, table, rows)

    def insert(self, cursor: Any, table: Table[Any], rows: Sequence[Any]) -> None:
        """Write rows into a table, with anything in the columns that nobody reads."""
        database = self.database(table.service)
        cursor.execute(_COLUMNS, (database, table.name))
        needed = {name: kind for name, kind, optional in cursor.fetchall() if not optional}
        read = [*table.columns, *_more(table, rows[0])]
        more = [name for name in needed if name not in read]
        names = ", ".join(f"`{column}`" for column in (*read, *more))
        cursor.executemany(
            f"INSERT INTO {database}.{table.name} ({names})"
            f" VALUES ({', '.join(['%s'] * (len(read) + len(more)))})",
            [
                (*row, *_more(table, row).values(), *(_anything(needed[name], row[0]) for name in more))
                for row in rows
            ],
        )


def _more(table: Table[Any], row: Any) -> dict[str, Any]:
    return _OTHERWISE[table](row) if table in _OTHERWISE else {}


def _anything(kind: str, key: Any) -> Any:
    """A value for a column that nobody reads, another one for each key."""
    match kind:
        case "datetime" | "timestamp":
            return T
        case "char" | "varchar" | "text" | "longtext":
            return f"{key}"
        case _:
            return 1


@asynccontextmanager
async def books_world(admin_url: str) -> AsyncIterator[World]:
    """Create, migrate and drop the databases."""
    world = World(admin_url)
    names = [world.database(service) for service in SERVICES]

    def run(*statements: str) -> None:
        with connect(admin_url) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    try:
        await asyncio.to_thread(run, *(f"CREATE DATABASE {name}" for name in names))
        await asyncio.gather(
            *(migrate(f"{service}_svc", world.url_of(service), seed=False) for service in SERVICES)
        )
        yield world
    finally:
        await asyncio.to_thread(run, *(f"DROP DATABASE IF EXISTS {name}" for name in names))
