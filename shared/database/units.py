"""Units of work on the service's own database: READ COMMITTED, UTC, retried whole, safe from cancellation.

`Database.transaction(unit)` is the way to change anything, `Database.read(unit)` to look.
Models ask in the unit of work that they are told: `Model.filter(...).using_db(tx.models)`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import aiomysql
import pymysql.err

from shared.database.connection import CONNECT_SECONDS, connection_options
from shared.database.lateness import TOO_LATE, ServerClock
from shared.database.pipeline import DUPLICATE, DuplicateKey, Pipeline
from shared.database.transaction import Cause, Reader, Transaction
from shared.deadline import begun, look
from shared.logs import log

if TYPE_CHECKING:
    from shared.database.orm import Orm

T = TypeVar("T")

DEADLOCK, LOCK_TIMEOUT = 1213, 1205
AGAIN = frozenset({DEADLOCK, LOCK_TIMEOUT, DUPLICATE, TOO_LATE})
"""After these a unit is run again as a whole: it may go well this time, or is found to be past."""
# Too many connections, shutdown in progress, killed, cannot connect, gone away, lost during query.
AWAY = frozenset({1040, 1053, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2006, 2013, 2014})

UNIT_ATTEMPTS = 5
UNIT_SECONDS = 60.0
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
        self._prepared: WeakKeyDictionary[Any, ServerClock] = WeakKeyDictionary()
        self._pool: aiomysql.Pool | None = None
        self._orm: Orm | None = None

    async def open(self, models: Sequence[str] = (), *, app: str = "service") -> None:
        """Connect, and make models known to Tortoise if there are any. Raises `DatabaseUnavailable`.

        Tortoise keeps a model under the first `app` that it is told: a process that has migrated it must
        name the same, or its models are not found.
        """
        options = connection_options(self.url)
        if models:
            # Costs ten megabytes, which a process that asks through no models need not have.
            from shared.database.orm import Orm

            self._orm = await Orm.open(self.url, models, app)
        self._pool = await _reached(
            aiomysql.create_pool(
                minsize=1, maxsize=self._pool_size, pool_recycle=3600, autocommit=True, **options
            )
        )
        await self.ping()

    async def close(self) -> None:
        """Let running units finish, then give up the connections."""
        if self._running:
            await asyncio.wait(self._running)
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
            await pool.wait_closed()
        if self._orm is not None:
            await self._orm.close()

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
                changed = await Transaction(pipeline).execute(sql, args)
                begun()
                return changed

        return await self._undisturbed(change())

    async def read(self, unit: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `unit` on a connection in autocommit. Raises `DatabaseUnavailable`, or what the unit raised."""

        async def look() -> T:
            async with self._pipeline() as pipeline:
                return await unit(Reader(pipeline, self._orm))

        return await self._undisturbed(look())

    async def _transact(self, unit: Callable[[Transaction], Awaitable[T]], causes: Sequence[Cause]) -> T:
        for attempt in range(1, UNIT_ATTEMPTS + 1):
            try:
                async with self._pipeline(transaction=True) as pipeline:
                    return await self._attempt(pipeline, unit, causes, is_again=attempt > 1)
            except Exception as error:  # only deadlocks and their like are tried again; the rest goes on
                if attempt == UNIT_ATTEMPTS or _code_of(error) not in AGAIN:
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
        tx = Transaction(pipeline, self._orm, causes, is_again=is_again)
        try:
            result = await unit(tx)
            stored = await self._staging.store(tx) if self._staging and tx.emitted else None
            if (ends := look()) is not None and pipeline.is_used:
                await pipeline.put_off(self._prepared[pipeline.connection].fails_after(ends))
        except Exception:  # whatever the unit met, nothing of it may stay; raised again
            await pipeline.rollback()
            raise
        try:
            await pipeline.commit()
        except Exception as error:  # what was put off may fail here, or the connection break; raised again
            if not _is_away(error):
                await pipeline.rollback()
                if _code_of(error) == TOO_LATE:  # or the server's clock was set: it is asked again then
                    del self._prepared[pipeline.connection]
                raise
            pipeline.close()
            begun()
            raise CommitUnknown(str(error)) from error
        begun()
        if self._staging and stored is not None:
            self._staging.after_commit(stored)
        return result

    @asynccontextmanager
    async def _pipeline(self, *, transaction: bool = False) -> AsyncIterator[Pipeline]:
        """The way to the server on a connection of its own, for as long as the block runs."""
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable("the database is closed")
        async with self._slots:
            # A slot means that there is a connection to take or to make, so this never waits for others.
            connection = await _reached(pool.acquire())
            pipeline = Pipeline(connection, transaction=transaction)
            try:
                await self._prepare(connection)
                look()  # after all that had to be waited for, and before BEGIN
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
                await pool.release(connection)

    async def _prepare(self, connection: Any) -> None:
        """What a fresh connection is told besides its isolation: its patience with locks, and UTC; and what
        its server's clock shows."""
        if connection not in self._prepared:
            async with connection.cursor() as cursor:
                await cursor.execute(
                    f"SET SESSION innodb_lock_wait_timeout = {self._lock_wait_s:d}, time_zone = '+00:00'"
                )
                await cursor.execute("SELECT UTC_TIMESTAMP(6)")
                [showed] = await cursor.fetchone()
            self._prepared[connection] = ServerClock(showed, time.monotonic())

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


async def _reached(connecting: Awaitable[T]) -> T:
    """What the driver connects to; whatever it says instead, it means `DatabaseUnavailable`."""
    try:
        # The driver's own time limit ends before the server's greeting.
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connecting
    except TimeoutError as error:
        raise DatabaseUnavailable(f"no connection within {CONNECT_SECONDS} s") from error
    except Exception as error:  # whatever the driver says, there is no connection to be had
        raise DatabaseUnavailable(str(error)) from error


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
    if error.args and isinstance(error.args[0], BaseException):
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
