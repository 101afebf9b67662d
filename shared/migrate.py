"""Migrations: `python -m shared.migrate order_svc` applies them, `... migrate make order_svc` writes them.

MySQL cannot undo DDL, so one process at a time migrates a database, under a named lock, and notes each
statement: a migration that was broken off goes on where it stopped (`migration_steps.py`). Before and after,
all tables are made to compare texts in our way (`collation.py`): no migration has to think of it.
With `SHOP_SEED=1` the service's `seeds.seed` runs afterwards, in one transaction.
"""

import argparse
import asyncio
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import aiomysql
from tortoise import Tortoise
from tortoise.cli.cli import tortoise_cli_context
from tortoise.connection import get_connection
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.schema_editor import MySQLSchemaEditor

from shared import collation, logs
from shared.addresses import DATABASE, parse
from shared.database.connection import connect
from shared.database.orm import orm_config
from shared.database.units import Database
from shared.events.outbox import Outbox
from shared.logs import log
from shared.migration_steps import Steps, patiently
from shared.service.service import Service
from shared.settings import load

LOCK_SECONDS = 120
PATIENCE_SECONDS = 24 * 3600.0
"""A statement that changes a large table may take so long, and says nothing meanwhile."""
LOCK_WAIT_SECONDS = 50


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m shared.migrate", description=__doc__)
    parser.add_argument("words", nargs="+", metavar="[make] PACKAGE", help="such as order_svc")
    words = parser.parse_args().words
    logs.configure(
        "migrate", os.environ.get("SHOP_LOG_LEVEL", "INFO"), os.environ.get("SHOP_LOG_FORMAT", "auto")
    )
    if words[0] == "make":
        for package in words[1:]:
            asyncio.run(make(package))
        return
    for package in words:
        asyncio.run(apply(package))


async def apply(package: str) -> None:
    """Bring the database of one service up to date, and seed it if asked to."""
    service = _service(package)
    settings = load(service.settings, at_work=False)
    url = settings.database_url
    if not url:
        raise SystemExit(f"SHOP_DATABASE_URL is missing: whose database is {package} to migrate?")
    # In the order of the setting, so that all who migrate wait for one lock: it is its server's alone.
    lock = await connect(parse(url, DATABASE), answer_s=PATIENCE_SECONDS, lock_wait_s=LOCK_WAIT_SECONDS)
    config = orm_config(lock.server, _apps(package, service))
    try:
        async with lock.cursor() as cursor:
            await cursor.execute("SELECT GET_LOCK(%s, %s)", (f"migrate.{package}", LOCK_SECONDS))
            if (await cursor.fetchone()) != (1,):
                raise SystemExit(f"another process has been migrating {package} for {LOCK_SECONDS} s")
            steps = Steps(lock)
            await steps.prepare()
            await _adopt(cursor)  # first: migrations may compare old tables with those that they make
            try:
                await _migrate(config, steps)
            finally:
                await Tortoise.close_connections()
            await _adopt(cursor)
        if os.environ.get("SHOP_SEED") == "1":
            if settings.env == "production":
                log.info("migrate.not_seeded", package=package, env=settings.env)
            else:
                await _seed(package, service, url)
    finally:
        lock.close()
    log.info("migrate.done", package=package)


async def _adopt(cursor: aiomysql.Cursor) -> None:
    changed = await patiently(lambda: collation.adopt(cursor))
    if changed:
        log.info("migrate.collation", tables=changed)


async def _migrate(config: dict[str, Any], steps: Steps) -> None:
    await Tortoise.init(config=config, init_connections=False)
    executor = _Executor(get_connection("default"), config["apps"])
    executor.steps = steps
    await steps.forget_recorded()

    def take_up(what: str, app: str, name: str) -> None:
        if what == "apply_start":
            steps.take_up(app, name)

    targets = [MigrationTarget(app_label=label, name="__latest__") for label in config["apps"]]
    await executor.migrate(targets, progress=take_up)
    await steps.forget_recorded()


class _Executor(MigrationExecutor):
    """Tortoise's own, with our way to make tables and to go on with what was broken off."""

    steps: Steps

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> MySQLSchemaEditor:
        editor = _SchemaEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        editor.steps = self.steps
        return editor


class _SchemaEditor(MySQLSchemaEditor):
    """Tortoise names a character set for a table and no collation, which means the server's usual one."""

    steps: Steps

    async def _run_sql(self, sql: str) -> None:
        await self.steps.run(sql)

    def _table_generate_extra(self, table: str) -> str:
        return f" CHARACTER SET utf8mb4 COLLATE {collation.COLLATION}"


async def make(package: str) -> None:
    """Write a migration for what has changed in the models since the last one; needs no database."""
    service = _service(package)
    apps = _apps(package, service)
    for _, migrations in apps.values():
        parent, _, name = str(migrations).rpartition(".")
        folder = Path(importlib.import_module(parent).__path__[0]) / name
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    config = orm_config(parse("mysql://nobody@localhost/none", DATABASE)[0], apps)
    async with tortoise_cli_context(config) as context:
        assert context.apps is not None  # noqa: S101  the context manager has just loaded them
        detector = MigrationAutodetector(context.apps, config["apps"])
        for writer in await detector.changes():
            print(writer.write())


async def _seed(package: str, service: Service, url: str) -> None:
    try:
        seeds = importlib.import_module(f"{package}.seeds")
    except ModuleNotFoundError:
        return
    database = Database(url, pool=2)
    await database.open(service.models if service.asks_models else (), app=service.name)
    database.publish_through(Outbox(service.name, database))
    try:
        await database.transaction(seeds.seed)
    finally:
        await database.close()


def _service(package: str) -> Service:
    try:
        return importlib.import_module(f"{package}.service").service
    except ModuleNotFoundError as error:
        raise SystemExit(f"{package!r} is no service package: {error}") from error


def _apps(package: str, service: Service) -> dict[str, Any]:
    return {
        "platform": (["shared.database.tables"], "shared.migrations"),
        service.name: (list(service.models), f"{package}.migrations"),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
