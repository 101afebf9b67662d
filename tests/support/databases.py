"""A database of its own for the tests of one service: made, migrated, opened, and dropped again."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from deploy.databases import connect
from deploy.local.layout import layout
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.messages import Event
from shared.service.service import Service

TABLES_KEPT = {"tortoise_migrations", "migration_steps"}


class Heard:
    """Stands in for the outbox: keeps what was emitted by transactions that have committed."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def store(self, tx: Transaction) -> Any:
        return [emitted.event for emitted in tx.emitted]

    def after_commit(self, stored: Any) -> None:
        self.events += stored

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def fresh_database(
    package: str, service: Service, *, seed: bool = False, until: str | None = None
) -> AsyncIterator[Database]:
    """An open, migrated database on the server that the environment means (SHOP_PORT_BASE).

    It is as after the service's migration `until`, or after all of them.
    """
    admin = layout().admin_url
    name = f"test_{package}_{uuid4().hex[:8]}"
    await asyncio.to_thread(_run, admin, f"CREATE DATABASE {name}")
    try:
        url = f"{admin.rstrip('/')}/{name}"
        if until is None:
            await migrate(package, url, seed=seed)
        else:
            await _run_module(["tests.support.migrate_until", package, service.name, until], url, seed=False)
        database = Database(url, pool=12)
        await database.open(service.models if service.asks_models else ())
        try:
            yield database
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(_run, admin, f"DROP DATABASE {name}")


async def migrate(package: str, url: str, *, seed: bool) -> None:
    """Apply the migrations of a package to a database, in a process of its own as `up` does it."""
    await _run_module(["shared.migrate", package], url, seed=seed)


async def migrate_killed(package: str, url: str, *, statement: int, like: str) -> None:
    """Apply migrations until a statement has been done: the process is killed before that is noted."""
    with pytest.raises(AssertionError, match=f"killed after {statement}: *{like}"):
        await _run_module(["tests.support.migrate_killed", package, str(statement)], url, seed=False)


async def empty(database: Database) -> None:
    """Delete the rows of all tables."""

    async def wipe(tx: Transaction) -> None:
        tables = await tx.rows(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        )
        for (table,) in tables:
            if table not in TABLES_KEPT:
                await tx.execute(f"DELETE FROM `{table}`")

    await database.transaction(wipe)


async def whole(database: Database) -> str:
    """Everything that stands in a database, as one text to search in; not which migrations ran when."""

    async def read(reader: Reader) -> str:
        tables = await reader.rows(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
        )
        found: list[str] = []
        for (table,) in tables:
            if table not in TABLES_KEPT:
                rows = await reader.rows(f"SELECT * FROM `{table}`")
                found += [table, *sorted("\t".join(map(str, row)) for row in rows)]
        return "\n".join(found)

    return await database.read(read)


async def _run_module(module: list[str], url: str, *, seed: bool) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SHOP_DATABASE_URL": url,
            "SHOP_SEED": "1" if seed else "0",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise AssertionError(output.decode())


def _run(admin_url: str, sql: str) -> None:
    with connect(admin_url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
