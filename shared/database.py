"""Units of work on the service's own database: READ COMMITTED, UTC, retried whole, safe from cancellation.

`Database.transaction(unit)` is the way to change anything, `Database.read(unit)` to look.
Both hand the unit a connection that Tortoise's models use as well.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import pymysql.err
from pymysql.constants import FIELD_TYPE
from pymysql.converters import decoders
from tortoise import Tortoise
from tortoise.backends.base.client import ConnectionWrapper
from tortoise.backends.mysql.client import MySQLClient, TransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import BaseORMException

from shared.logs import log
from shared.pipeline import DUPLICATE, DuplicateKey, Pipeline
from shared.transaction import Cause, Reader, Transaction

T = TypeVar("T")

DEADLOCK, LOCK_TIMEOUT = 1213, 1205
# Too many connections, shutdown in progress, killed, cannot connect, gone away, lost during query.
AWAY = frozenset({1040, 1053, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2006, 2013, 2014})

UNIT_ATTEMPTS = 5
UNIT_SECONDS = 60.0
CONNECT_SECONDS = 5
PING_SECONDS = 2.0


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or went away in the middle; the unit may be run again later."""


class CommitUnknown(DatabaseUnavailable):
    """The database went away during the commit: the unit may have been done, or not."""


class Staging(Protocol):
    """Where a transaction's events go: into the database before the commit, to the broker after it."""

    async def store(self, tx: Transaction) -> Any:
        """Write `tx.emitted` in the same transaction; what is returned is given to `after_commit`."""

    def after_commit(self, stored: Any) -> None:
        """The commit happened."""


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


class Database:
    """The service's own database: a bounded pool, and units of work on it."""

    def __init__(self, url: str, *, pool: int = 12, lock_wait_s: int = 10) -> None:
        self.url = url
        self._pool_size = pool
        self._lock_wait_s = lock_wait_s
        # The driver's pool forgets to wake waiters when a broken connection is given back, so nobody may ever
        # wait inside it: as many units as it has connections are let through.
        self._slots = asyncio.Semaphore(pool)
        self._staging: Staging | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._prepared: WeakSet[Any] = WeakSet()
        self._client: MySQLClient | None = None

    async def open(self, models: Sequence[str]) -> None:
        """Make the pool known to Tortoise and connect. Raises `DatabaseUnavailable`."""
        await Tortoise.init(
            config=orm_config(self.url, {"service": (list(models), None)}, pool=self._pool_size),
            _enable_global_fallback=True,
        )
        client = get_connections().get("default")
        assert isinstance(client, MySQLClient)  # noqa: S101  orm_config names this very backend
        self._client = client
        await self.ping()

    async def close(self) -> None:
        """Let running units finish, then give up the connections."""
        if self._running:
            await asyncio.wait(self._running)
        await Tortoise.close_connections()
        self._client = None

    def publish_through(self, staging: Staging) -> None:
        """From now on, what transactions emit goes this way."""
        self._staging = staging

    async def ping(self) -> None:
        """Raises `DatabaseUnavailable` unless the database answers within two seconds.

        A server that hangs must not make its health check hang for as long as a unit of work may take.
        """

        async def look() -> None:
            async with self._pipeline() as pipeline:
                await Reader(pipeline).row("SELECT 1")

        await self._undisturbed(look(), PING_SECONDS)

    async def transaction(
        self, unit: Callable[[Transaction], Awaitable[T]], *, causes: Sequence[Cause] = ()
    ) -> T:
        """Run `unit` in one transaction and commit it, with the outbox rows of what it emitted.

        A deadlock or lock timeout rolls back, and the whole unit runs again with jitter; so does a
        duplicate key that the unit did not catch, since then a twin was faster and its row is now to be seen.
        If the caller is cancelled, the unit ends first: nothing is left half done or locked.
        Raises `DatabaseUnavailable`, or what the unit raised, after a rollback; `CommitUnknown` if the
        connection broke during the commit.
        """
        return await self._undisturbed(self._transact(unit, causes))

    async def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run one statement that is a transaction by itself; returns how many rows it changed."""

        async def change() -> int:
            async with self._pipeline() as pipeline:
                return await Transaction(pipeline).execute(sql, args)

        return await self._undisturbed(change())

    async def read(self, unit: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `unit` on a connection in autocommit. Raises `DatabaseUnavailable`, or what the unit raised."""

        async def look() -> T:
            async with self._pipeline() as pipeline:
                return await unit(Reader(pipeline))

        return await self._undisturbed(look())

    async def _transact(self, unit: Callable[[Transaction], Awaitable[T]], causes: Sequence[Cause]) -> T:
        for attempt in range(1, UNIT_ATTEMPTS + 1):
            try:
                async with self._pipeline(transaction=True) as pipeline:
                    return await self._attempt(pipeline, unit, causes, is_again=attempt > 1)
            except Exception as error:  # only deadlocks and their like are tried again; the rest goes on
                if attempt == UNIT_ATTEMPTS or _code_of(error) not in (DEADLOCK, LOCK_TIMEOUT, DUPLICATE):
                    raise
                log.info("transaction.again", attempt=attempt, code=_code_of(error))
            await asyncio.sleep(random.uniform(0.002, 0.02) * attempt)  # noqa: S311  jitter, not a secret
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        pipeline: Pipeline,
        unit: Callable[[Transaction], Awaitable[T]],
        causes: Sequence[Cause],
        *,
        is_again: bool,
    ) -> T:
        tx = Transaction(pipeline, causes, is_again=is_again)
        try:
            result = await unit(tx)
            stored = await self._staging.store(tx) if self._staging and tx.emitted else None
        except Exception:  # whatever the unit met, nothing of it may stay; raised again
            await pipeline.rollback()
            raise
        try:
            await pipeline.commit()
        except Exception as error:  # what was put off may fail here, or the connection break; raised again
            if not _is_away(error):
                await pipeline.rollback()
                raise
            pipeline.close()
            raise CommitUnknown(str(error)) from error
        if self._staging and stored is not None:
            self._staging.after_commit(stored)
        return result

    @asynccontextmanager
    async def _pipeline(self, *, transaction: bool = False) -> AsyncIterator[Pipeline]:
        """The way to the server on a connection that the models use too, for as long as the block runs."""
        if self._client is None:
            raise DatabaseUnavailable("the database is closed")
        async with self._slots:
            try:
                if self._client._pool is None:
                    await self._client.create_connection(with_db=True)
                pool: Any = self._client._pool
                # The driver's own time limit ends before the server's greeting; a slot means that there is
                # a connection to take or to make, so this never waits for others.
                async with asyncio.timeout(CONNECT_SECONDS):
                    connection = await pool.acquire()
            except TimeoutError as error:
                raise DatabaseUnavailable(f"no connection within {CONNECT_SECONDS} s") from error
            except Exception as error:  # whatever the driver says, there is no connection to be had
                raise DatabaseUnavailable(str(error)) from error
            pipeline = Pipeline(connection, transaction=transaction)
            token = get_connections().set("default", _Models(self._client, connection, pipeline))
            try:
                await self._prepare(connection)
                yield pipeline
            except Exception as error:  # a connection that broke is not given to the next unit; raised again
                if _is_away(error):
                    connection.close()
                    raise DatabaseUnavailable(str(error)) from error
                raise
            except asyncio.CancelledError:
                connection.close()
                raise
            finally:
                get_connections().reset(token)
                await pool.release(connection)

    async def _prepare(self, connection: Any) -> None:
        """What a fresh connection is to be told besides its isolation: how long to wait for a lock."""
        if connection not in self._prepared:
            async with connection.cursor() as cursor:
                await cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {self._lock_wait_s:d}")
            self._prepared.add(connection)

    async def _undisturbed(self, work: Any, seconds: float | None = None) -> Any:
        """Run `work` in a task of its own, which a cancelled caller waits for instead of tearing it apart."""
        task = asyncio.create_task(_within(seconds or UNIT_SECONDS, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # looked at, so that the loop does not complain about it later
            raise


def orm_config(url: str, apps: dict[str, tuple[list[str], str | None]], *, pool: int = 4) -> dict[str, Any]:
    """Tortoise's configuration: one connection, and apps as `{label: (model modules, migrations)}`."""
    parts = urlsplit(url)
    if parts.scheme != "mysql" or not parts.hostname or len(parts.path) < 2:
        raise ValueError(f"a database URL looks like mysql://user:password@host:port/name, not {url!r}")
    return {
        "connections": {
            "default": {
                "engine": "tortoise.backends.mysql",
                "credentials": {
                    "host": parts.hostname,
                    "port": parts.port or 3306,
                    "user": unquote(parts.username or ""),
                    "password": unquote(parts.password or ""),
                    "database": parts.path[1:],
                    "minsize": 1,
                    "maxsize": pool,
                    "charset": "utf8mb4",
                    "connect_timeout": CONNECT_SECONDS,
                    "pool_recycle": 3600,
                    # The driver's own reading of times takes them apart with regular expressions.
                    "conv": decoders | {FIELD_TYPE.DATETIME: datetime.fromisoformat},
                    "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                },
            }
        },
        "apps": {
            label: {"models": modules, "default_connection": "default", "migrations": migrations}
            for label, (modules, migrations) in apps.items()
        },
        "use_tz": True,
        "timezone": "UTC",
    }


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise DatabaseUnavailable(f"a unit of work took more than {seconds:g} s") from error


def _driver_error(error: BaseException) -> BaseException:
    """The driver's own error inside Tortoise's translation or ours."""
    if isinstance(error, DuplicateKey) and error.__cause__ is not None:
        return error.__cause__
    if isinstance(error, BaseORMException) and error.args and isinstance(error.args[0], BaseException):
        return error.args[0]
    return error


def _code_of(error: BaseException) -> int | None:
    error = _driver_error(error)
    if isinstance(error, pymysql.err.MySQLError) and error.args and isinstance(error.args[0], int):
        return error.args[0]
    return None


def _is_away(error: BaseException) -> bool:
    inner = _driver_error(error)
    return (
        _code_of(error) in AWAY
        or isinstance(inner, ConnectionError | EOFError | pymysql.err.InterfaceError)
        or (isinstance(inner, pymysql.err.InternalError) and "sequence" in str(inner))
    )
