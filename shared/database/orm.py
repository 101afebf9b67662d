"""Tortoise in a database: models that ask on the connection of the unit of work they are used in."""

from collections.abc import Sequence
from typing import Any

from tortoise import Tortoise
from tortoise.backends.base.client import ConnectionWrapper
from tortoise.backends.mysql.client import MySQLClient, TransactionWrapper
from tortoise.connection import get_connections

from shared.database.connection import connection_options
from shared.database.pipeline import Pipeline


class Orm:
    """Models that may be used inside units of work. Tortoise itself never connects."""

    def __init__(self, client: MySQLClient) -> None:
        self._client = client

    @classmethod
    async def open(cls, url: str, models: Sequence[str]) -> "Orm":
        """Make the models known to Tortoise."""
        config = orm_config(url, {"service": (list(models), None)})
        await Tortoise.init(config=config, _enable_global_fallback=True)
        client = get_connections().get("default")
        assert isinstance(client, MySQLClient)  # noqa: S101  orm_config names this very backend
        return cls(client)

    async def close(self) -> None:
        """Have Tortoise forget what it was told."""
        await Tortoise.close_connections()

    def lend(self, connection: Any, pipeline: Pipeline) -> Any:
        """Let the models use a unit's connection from now on; returns what `take_back` wants."""
        return get_connections().set("default", _Models(self._client, connection, pipeline))

    def take_back(self, lent: Any) -> None:
        """The unit of work is over."""
        get_connections().reset(lent)


class _Models(TransactionWrapper):
    """What the models talk to inside a unit of work: its own connection, once what it put off is done."""

    def __init__(self, client: MySQLClient, connection: Any, pipeline: Pipeline) -> None:
        super().__init__(client)
        self._connection = connection
        self._pipeline = pipeline

    def acquire_connection(self) -> "_Settled":
        return _Settled(self)


class _Settled(ConnectionWrapper[Any]):
    def __init__(self, models: _Models) -> None:
        super().__init__(models._lock, models)
        self._pipeline = models._pipeline

    async def __aenter__(self) -> Any:
        connection = await super().__aenter__()
        try:
            await self._pipeline.settle()
        except BaseException:  # the models' lock is held for the connection that is not given out
            await self.__aexit__(None, None, None)
            raise
        return connection


def orm_config(url: str, apps: dict[str, tuple[list[str], str | None]]) -> dict[str, Any]:
    """Tortoise's configuration: one connection, and apps as `{label: (model modules, migrations)}`."""
    options = connection_options(url)
    return {
        "connections": {
            "default": {
                "engine": "tortoise.backends.mysql",
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
