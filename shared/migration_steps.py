"""How far a migration has come: each of its statements is noted, so that one broken off goes on there.

Neither MySQL nor MariaDB can undo a change to a table's shape, and most migrations are several statements.
Each migration under way has a row: how many of its statements were begun, and how many are done.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiomysql
import pymysql.err

from shared.logs import log

LOCK_WAIT_SECONDS = 5
"""Who wants to change a table waits for all that use it, and all that come later wait for him. So he gives up
soon, lets the others go by, and tries again."""
LOCK_TRIES = 30
LOCK_TIMEOUT = 1205
SHAPING = ("CREATE", "ALTER", "DROP", "RENAME")
# The table, column, key or check is there already; or is not there, where it was to be dropped or renamed.
ALREADY = frozenset({1050, 1060, 1061, 1826, 3822, 1051, 1091, 1054, 1146})

T = TypeVar("T")

_TABLE = (
    "CREATE TABLE migration_steps (app VARCHAR(100) NOT NULL, name VARCHAR(150) NOT NULL,"
    " begun INT NOT NULL, done INT NOT NULL, PRIMARY KEY (app, name))"
)
# A migration that is recorded has no steps any more, even if whoever recorded it was killed right then.
_FORGET = (
    "DELETE s FROM migration_steps s JOIN tortoise_migrations m"
    " ON m.app COLLATE utf8mb4_bin = s.app COLLATE utf8mb4_bin"
    " AND m.name COLLATE utf8mb4_bin = s.name COLLATE utf8mb4_bin"
)
_FIND = "SELECT begun, done FROM migration_steps WHERE app = %s AND name = %s"
_BEGUN = (
    "INSERT INTO migration_steps (app, name, begun, done) VALUES (%s, %s, %s, 0)"
    " ON DUPLICATE KEY UPDATE begun = GREATEST(begun, VALUES(begun))"
)
_NOT_BEGUN = "UPDATE migration_steps SET begun = %s WHERE app = %s AND name = %s"
_DONE = "UPDATE migration_steps SET done = %s WHERE app = %s AND name = %s"


class Steps:
    """The statements of one migration after the other, on the connection that holds the lock on them all."""

    def __init__(self, connection: aiomysql.Connection) -> None:
        self._connection = connection
        self._app, self._name = "", ""
        self._number = 0
        self._begun, self._done = 0, 0

    async def prepare(self) -> None:
        """Make the table, and bound the waits for others' locks."""
        await self._connection.autocommit(True)
        await self._ask(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}")
        if not await self._ask("SHOW TABLES LIKE 'migration_steps'"):
            await self._ask(_TABLE)

    async def forget_recorded(self) -> None:
        """Forget the steps of what is recorded as applied."""
        if await self._ask("SHOW TABLES LIKE 'tortoise_migrations'"):
            await self._ask(_FORGET)

    def take_up(self, app: str, name: str) -> None:
        """The statements that follow are those of this migration."""
        self._app, self._name = app, name
        self._number = 0

    async def run(self, sql: str) -> None:
        """Do the next statement of the migration, unless an earlier run has done it.

        What changes rows is done together with the note of it, in one transaction. What changes a table's
        shape commits by itself: if a run broke off between the two, the statement says that it was done.
        """
        if self._number == 0:
            [(self._begun, self._done)] = await self._ask(_FIND, (self._app, self._name)) or ((0, 0),)
            if self._done:
                log.info("migrate.goes_on", migration=f"{self._app}.{self._name}", done=self._done)
        self._number += 1
        if self._number <= self._done:
            return
        await self._ask(_BEGUN, (self._app, self._name, self._number))
        await patiently(lambda: self._do(sql))

    async def _do(self, sql: str) -> None:
        await self._ask("BEGIN")
        try:
            await self._ask_script(sql)
        except pymysql.err.MySQLError as error:
            was_tried = self._number <= self._begun and sql.lstrip().upper().startswith(SHAPING)
            if not was_tried or error.args[0] not in ALREADY:
                await self._ask("ROLLBACK")
                # The server said no: nobody need wonder later whether it was done.
                await self._ask(_NOT_BEGUN, (self._number - 1, self._app, self._name))
                raise
            log.info("migrate.was_done", statement=self._number, code=error.args[0])
        await self._ask(_DONE, (self._number, self._app, self._name))
        await self._ask("COMMIT")

    async def _ask_script(self, sql: str) -> None:
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql)
            while await cursor.nextset():  # type: ignore[func-returns-value]  each may tell an error
                pass

    async def _ask(self, sql: str, args: tuple[Any, ...] = ()) -> Any:
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, args or None)
            return await cursor.fetchall()


async def patiently(change: Callable[[], Awaitable[T]]) -> T:
    """Do something that may wait for locks of others; again and again, with pauses in which they go by.

    Raises what `change` raises, a lock timeout only after `LOCK_TRIES` of them.
    """
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            return await change()
        except pymysql.err.OperationalError as error:
            if error.args[0] != LOCK_TIMEOUT or not tries_left:
                raise
            log.info("migrate.waits_for_locks", tries_left=tries_left)
        await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311  jitter, not a secret
    raise AssertionError("unreachable")
