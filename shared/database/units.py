"""Units of work on the service's own database: READ COMMITTED, UTC, retried whole, safe from cancellation.

`Database.transaction(unit)` is the way to change anything, `Database.read(unit)` to look.
Models ask in the unit of work that they are told: `Model.filter(...).using_db(tx.models)`.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pymysql.err

from shared.addresses import DATABASE, Server, Servers, takes_changes
from shared.database.connection import Connection, NoAnswer
from shared.database.failures import (
    DEADLOCK,
    LOCK_TIMEOUT,
    READ_ONLY_OPTION,
    CannotWrite,
    CommitUnknown,
    DatabaseUnavailable,
    RowsLocked,
    TooSlow,
    cannot_write,
    code_of,
    driver_error,
    is_away,
)
from shared.database.lateness import TOO_LATE
from shared.database.pipeline import DUPLICATE, Pipeline
from shared.database.pool import Pool
from shared.database.results import outcomes
from shared.database.transaction import Cause, Reader, Transaction
from shared.deadline import begun, look
from shared.ids import new_text_id
from shared.logs import log

if TYPE_CHECKING:
    from shared.database.orm import Orm

T = TypeVar("T")

AGAIN = frozenset({DEADLOCK, LOCK_TIMEOUT, DUPLICATE, TOO_LATE})
"""After these a unit is run again as a whole: it may go well this time, or is found to be past."""

UNIT_ATTEMPTS = 5
UNIT_SECONDS = 60.0
PING_SECONDS = 2.0
LOCK_WAIT_SECONDS = 10
ANSWER_SECONDS = 15.0


class Staging(Protocol):
    """Where a transaction's events go: into the database before the commit, to the broker after it."""

    async def store(self, tx: Transaction) -> Any:
        """Write `tx.emitted` in the same transaction; what is returned is given to `after_commit`."""

    def after_commit(self, stored: Any) -> None:
        """The commit happened."""


class Database:
    """The service's own database: a bounded pool, and units of work on it."""

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        pool: int = 12,
        lock_wait_s: int = LOCK_WAIT_SECONDS,
        answer_s: float = ANSWER_SECONDS,
    ) -> None:
        if answer_s <= lock_wait_s:
            raise ValueError(
                f"answer_s={answer_s:g} must be above {lock_wait_s}: so long a statement may wait for a lock,"
                " and say nothing meanwhile"
            )
        self._servers = Servers(url, DATABASE)
        self._size = pool
        self._lock_wait_s = lock_wait_s
        self._answer_s = answer_s
        self._staging: Staging | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._pool: Pool | None = None
        self._watch: Connection | None = None
        self._watching = asyncio.Lock()
        self._pinging: dict[Server | None, asyncio.Task[None]] = {}
        self._orm: Orm | None = None

    @property
    def url(self) -> str:
        """Where it is: one URL or several."""
        return self._servers.text

    async def open(self, models: Sequence[str] = (), *, app: str = "service") -> None:
        """Connect, and make models known to Tortoise if there are any. Raises `DatabaseUnavailable`.

        Tortoise keeps a model under the first `app` that it is told: a process that has migrated it must
        name the same, or its models are not found.
        """
        if models:
            # Costs ten megabytes, which a process that asks through no models need not have.
            from shared.database.orm import Orm

            self._orm = await Orm.open(self._servers.now()[0], models, app)
        self._pool = Pool(
            self._servers, size=self._size, answer_s=self._answer_s, lock_wait_s=self._lock_wait_s
        )
        async with self._pipeline():  # the first unit is not to wait for its connection
            await self.ping()

    async def close(self) -> None:
        """Let running units finish, then give up the connections."""
        while self._running:
            await asyncio.wait(self._running)
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        self._leave_watch()
        if self._orm is not None:
            await self._orm.close()

    def publish_through(self, staging: Staging) -> None:
        """From now on, what transactions emit goes this way."""
        self._staging = staging

    async def ping(self, at: Server | None = None) -> None:
        """Raises `DatabaseUnavailable` unless the database, or that server of it, answers within two seconds.

        It is asked on a connection that is kept for this: neither a pool whose connections are all at work
        nor a unit that takes long makes a database look as if it were away. Who asks meanwhile is given the
        same answer.
        """
        pinging = self._pinging.get(at)
        if pinging is None or pinging.done():
            pinging = self._pinging[at] = self._aside(self._ask_watch("SELECT 1", at))
        await asyncio.shield(pinging)

    async def ready_to_write(self) -> None:
        """Raises `DatabaseUnavailable` unless the database takes changes: for who waits until it does.

        It is tried, for no variable tells of each reason why a server takes none; and undone.
        """

        async def try_to_write(tx: Transaction) -> None:
            sql = "INSERT INTO inbox (consumer, event_id, received_at) VALUES ('probe', %s, %s)"
            await tx.execute(sql, [new_text_id(), tx.now])
            raise _WouldWrite

        await self.ping()
        try:
            await self.transaction(try_to_write)
        except _WouldWrite:
            return
        except pymysql.err.MySQLError as error:  # it says no for another reason, as it would to a write
            log.info("database.probe_refused", code=code_of(error))

    async def _ask_watch(self, sql: str, at: Server | None) -> None:
        """Ask, on the connection that is kept for this, one server or any. Raises `DatabaseUnavailable`."""
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable("the database is closed")
        try:
            async with self._watching, asyncio.timeout(PING_SECONDS):
                if (watch := self._watch) is not None and at in (None, watch.server) and watch.is_usable:
                    try:
                        await outcomes(watch, [sql])
                        return
                    except Exception as error:  # where it led says nothing about where the next one leads
                        log.debug("database.watch_lost", error=str(error))
                self._leave_watch()
                self._watch = await pool.connect(to=at)
                await outcomes(self._watch, [sql])
        except TimeoutError as error:
            if self._watch is not None:
                pool.avoid(self._watch.server)
            self._leave_watch()
            raise DatabaseUnavailable(f"no answer within {PING_SECONDS:g} s") from error
        except Exception as error:  # whatever the driver says, the next one is to ask on a fresh connection
            self._leave_watch()
            raise DatabaseUnavailable(str(error)) from error

    def _leave_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch = None

    async def transaction(
        self,
        unit: Callable[[Transaction], Awaitable[T]],
        *,
        causes: Sequence[Cause] = (),
        lock_wait_s: int | None = None,
    ) -> T:
        """Run `unit` in one transaction and commit it, with the outbox rows of what it emitted.

        A deadlock or lock timeout rolls back, and the whole unit runs again with jitter; so does a
        duplicate key that the unit did not catch, since then a twin was faster and its row is now to be seen.
        With `lock_wait_s` it waits no longer than this for each of its locks, and is not run again where that
        was not enough: `RowsLocked` is raised.
        If the caller is cancelled, the unit ends first: nothing is left half done or locked.
        Raises, after a rollback, `DatabaseUnavailable`, `TooSlow` for a unit that took too long, or what the
        unit raised; `CommitUnknown` if no answer came to the commit.
        """
        return await self._undisturbed(self._transact(unit, causes, lock_wait_s))

    async def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run one statement that is a transaction by itself; returns how many rows it changed.

        Raises what `transaction` raises.
        """

        async def change() -> int:
            async with self._pipeline(lock_wait_s=self._lock_wait_s) as pipeline:
                try:
                    changed = await Transaction(pipeline).execute(sql, args)
                except asyncio.CancelledError as cut:
                    pipeline.close()
                    begun()
                    raise CommitUnknown("it took too long") from cut
                except Exception as error:  # what it was is not changed; raised again
                    if not is_away(error):
                        raise
                    pipeline.close()
                    begun()
                    raise CommitUnknown(str(error)) from error
                begun()
                return changed

        return await self._undisturbed(change())

    async def read(self, unit: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `unit` on a connection in autocommit. Raises `DatabaseUnavailable`, or what the unit raised."""

        async def ask() -> T:
            async with self._pipeline() as pipeline:
                return await unit(Reader(pipeline, self._orm))

        return await self._undisturbed(ask())

    async def _transact(
        self,
        unit: Callable[[Transaction], Awaitable[T]],
        causes: Sequence[Cause],
        lock_wait_s: int | None,
    ) -> T:
        wait_s = self._lock_wait_s if lock_wait_s is None else lock_wait_s
        for attempt in range(1, UNIT_ATTEMPTS + 1):
            try:
                async with self._pipeline(transaction=True, lock_wait_s=wait_s) as pipeline:
                    return await self._attempt(pipeline, unit, causes, is_again=attempt > 1)
            except Exception as error:  # only deadlocks and their like are tried again; the rest goes on
                code = code_of(error)
                if code == LOCK_TIMEOUT and lock_wait_s is not None:
                    raise RowsLocked(f"some rows were locked for {lock_wait_s} s") from error
                if attempt == UNIT_ATTEMPTS or code not in AGAIN:
                    raise
                log.info("transaction.again", attempt=attempt, code=code)
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
                await pipeline.put_off(pipeline.connection.server_clock.fails_after(ends))
        except Exception:  # whatever the unit met, nothing of it may stay; raised again
            await pipeline.rollback()
            raise
        try:
            await pipeline.commit()
        except asyncio.CancelledError as cut:  # by the unit's time limit, for callers do not cancel it
            pipeline.close()
            begun()
            raise CommitUnknown("the commit took too long") from cut
        except Exception as error:  # what was put off may fail here, or the connection break; raised again
            if not is_away(error):
                await pipeline.rollback()
                if code_of(error) == TOO_LATE:  # or the server's clock was set: the next connection asks it
                    pipeline.close()
                raise
            pipeline.close()
            begun()
            raise CommitUnknown(str(error)) from error
        begun()
        if self._staging and stored is not None:
            self._staging.after_commit(stored)
        return result

    @asynccontextmanager
    async def _pipeline(
        self, *, transaction: bool = False, lock_wait_s: int | None = None
    ) -> AsyncIterator[Pipeline]:
        """The way to the server on a connection of its own, for as long as the block runs.

        What the block raises is raised as what it means: `DatabaseUnavailable`, `TooSlow`, or what it is.
        """
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable("the database is closed")
        async with pool.connection(lock_wait_s) as connection:
            try:
                look()  # after all that had to be waited for, and before BEGIN
                yield Pipeline(connection, transaction=transaction, lock_wait_s=lock_wait_s)
            except Exception as error:  # one that broke is not given to the next unit; raised again
                meaning = await self._meaning(connection, error)
                if meaning is None:
                    raise
                pool.leave(connection)
                if meaning is error:
                    raise
                if isinstance(meaning, TooSlow):
                    self._kill(connection)
                raise meaning from error
            except asyncio.CancelledError:
                connection.close()
                self._kill(connection)
                raise

    async def _meaning(self, connection: Connection, error: Exception) -> Exception | None:
        """What an error means for the unit, if it is about the database rather than the unit itself."""
        if isinstance(error, CommitUnknown):
            return error
        if isinstance(driver_error(error), NoAnswer):
            try:
                await self.ping(connection.server)
            except DatabaseUnavailable as silent:
                return silent
            return TooSlow(f"a statement took more than {self._answer_s:g} s")
        if is_away(error):
            return DatabaseUnavailable(str(error))
        if cannot_write(error) or (code_of(error) == READ_ONLY_OPTION and await _is_read_only(connection)):
            return CannotWrite(str(error))
        return None

    def _kill(self, connection: Connection) -> None:
        """Have the server end what was given up, which otherwise holds its locks until it has an answer."""

        async def kill() -> None:
            try:
                await self._ask_watch(f"KILL {connection.thread_id():d}", connection.server)
            except DatabaseUnavailable as error:
                log.info("database.not_killed", error=str(error))

        self._aside(kill())

    def _aside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something for units of work, which `close` waits for like for them."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody need look at it
        return task

    async def _undisturbed(self, work: Awaitable[T]) -> T:
        """Run `work` in a task of its own, which a cancelled caller waits for instead of tearing it apart."""
        task = asyncio.create_task(_within(UNIT_SECONDS, work))
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


class _WouldWrite(Exception):
    """Undoes the unit that only tried whether it may write."""


async def _is_read_only(connection: Connection) -> bool:
    """Whether the server takes no changes."""
    try:
        [found] = await outcomes(connection, ["SELECT @@read_only"])
    except Exception as error:  # a server that cannot even say so is gone
        log.debug("database.not_asked", error=str(error))
        return True
    return not takes_changes(found.rows[0][0])


async def _within(seconds: float, work: Awaitable[T]) -> T:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():  # the unit's own
            raise
        raise TooSlow(f"a unit of work took more than {seconds:g} s") from error
