"""Tortoise in a database: models that ask on the unit of work that they are told, and on nothing else."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import pymysql.err
from tortoise import Tortoise
from tortoise.backends.base.client import ConnectionWrapper
from tortoise.backends.mysql.client import MySQLClient, TransactionWrapper
from tortoise.connection import get_connection
from tortoise.exceptions import IntegrityError

from shared.addresses import Server
from shared.database.connection import connection_options
from shared.database.pipeline import DUPLICATE, DuplicateKey, Pipeline


class NoUnitNamed(RuntimeError):
    """A model was asked without the unit of work that it is to ask in."""


class Orm:
    """Models that may be used inside units of work. Tortoise itself never connects."""

    def __init__(self, nowhere: "_Nowhere") -> None:
        self._nowhere = nowhere

    @classmethod
    async def open(cls, server: Server, models: Sequence[str], app: str) -> "Orm":
        """Make the models known to Tortoise, under the name `app`."""
        # On the level below it writes into the log what is asked, with the values of rows: people's data.
        logging.getLogger("tortoise.db_client").setLevel(logging.INFO)
        config = orm_config(server, {app: (list(models), None)}, engine=__name__)
        await Tortoise.init(config=config, _enable_global_fallback=True)
        nowhere = get_connection("default")
        assert isinstance(nowhere, _Nowhere)  # noqa: S101  this module is the engine
        return cls(nowhere)

    async def close(self) -> None:
        """Have Tortoise forget what it was told."""
        await Tortoise.close_connections()

    def within(self, pipeline: Pipeline) -> TransactionWrapper:
        """A unit of work as models know it: what `using_db` takes."""
        return _Unit(self._nowhere, pipeline)


class _Nowhere(MySQLClient):
    """What Tortoise falls back on for a model that was told no unit of work. It leads to no database."""

    def acquire_connection(self) -> NoReturn:
        raise NoUnitNamed(
            "a model was asked without a unit of work; name it: Model.filter(...).using_db(tx.models),"
            " or using_db=tx.models where a call takes it"
        )

    async def create_connection(self, with_db: bool) -> NoReturn:
        self.acquire_connection()


client_class = _Nowhere
"""By this name Tortoise looks for the client of an engine, which this module is to it."""


class _Unit(TransactionWrapper):
    """A unit of work as models know it: its own connection, once what it put off is done."""

    def __init__(self, nowhere: _Nowhere, pipeline: Pipeline) -> None:
        super().__init__(nowhere)
        self._connection = pipeline.connection
        self._pipeline = pipeline

    def acquire_connection(self) -> "_Settled":
        return _Settled(self)

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        with _duplicates_named():
            return await super().execute_insert(query, values)

    async def execute_query(
        self, query: str, values: list[Any] | None = None
    ) -> tuple[int, list[dict[str, Any]]]:
        with _duplicates_named():
            return await super().execute_query(query, values)


class _Settled(ConnectionWrapper[Any]):
    def __init__(self, unit: _Unit) -> None:
        super().__init__(unit._lock, unit)
        self._pipeline = unit._pipeline

    async def __aenter__(self) -> Any:
        connection = await super().__aenter__()
        try:
            await self._pipeline.settle()
        except BaseException:  # the models' lock is held for the connection that is not given out
            await self.__aexit__(None, None, None)
            raise
        return connection


@contextmanager
def _duplicates_named() -> Iterator[None]:
    """A duplicate key has the name that it has in SQL too."""
    try:
        yield
    except IntegrityError as error:
        inner = error.args[0]
        if isinstance(inner, pymysql.err.IntegrityError) and inner.args[0] == DUPLICATE:
            raise DuplicateKey(str(inner.args[1])) from inner
        raise


def orm_config(
    server: Server,
    apps: dict[str, tuple[list[str], str | None]],
    *,
    engine: str = "tortoise.backends.mysql",
) -> dict[str, Any]:
    """Tortoise's configuration: one connection, and apps as `{label: (model modules, migrations)}`."""
    options = connection_options(server)
    return {
        "connections": {
            "default": {
                "engine": engine,
                "credentials": {"database": options.pop("db"), **options},
            }
        },
        "apps": {
            label: {"models": modules, "default_connection": "default", "migrations": migrations}
            for label, (modules, migrations) in apps.items()
        },
        "use_tz": True,
        "timezone": "UTC",
    }
