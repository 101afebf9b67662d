"""Statements on their way to the server: what nobody waits for travels with the next that somebody does.

A round trip costs more than a short statement. So a transaction begins with its first question, writes in one
journey what it has put off, and commits in the same journey as its last writes.
"""

from typing import Any

import pymysql.err

from shared.database.results import Outcome, outcomes

DUPLICATE = 1062
MOST_CHARACTERS = 1_000_000
"""What is put off does not grow beyond this: servers refuse packets that are too large."""


class DuplicateKey(Exception):
    """A row with this key is there already (1062). The statement is undone, the transaction lives on."""


class DuplicateKeyPutOff(Exception):
    """A statement that was put off met a row with its key. The unit is undone, whoever asked meanwhile.

    No `DuplicateKey`: whoever catches that one means the statement that it has just asked for.
    """


class Pipeline:
    """The statements of one unit of work on one connection, in the order in which they were given.

    `lock_wait_s` is how long each of them may wait for a lock; None leaves it as the connection has it.
    """

    def __init__(self, connection: Any, *, transaction: bool, lock_wait_s: int | None = None) -> None:
        self.connection = connection
        self._lock_wait_s = lock_wait_s
        self._waiting: list[str] = []
        self._characters = 0
        self._transaction = transaction
        self._begun = False
        self._failed: Exception | None = None

    @property
    def is_used(self) -> bool:
        """Whether anything was asked, or put off."""
        return self._begun or bool(self._waiting)

    async def put_off(self, sql: str) -> None:
        """Send this with the next statement that is waited for; should it fail, that one raises the error."""
        self._waiting.append(sql)
        self._characters += len(sql)
        if self._characters > MOST_CHARACTERS:
            await self.settle()

    async def ask(self, *questions: str) -> list[Outcome]:
        """Send statements, and what was put off before them, in one journey.

        Returns what came of each question. Raises `DuplicateKey`, and what the driver raises; what stands
        after a statement that fails is not done. If one that was put off fails, those behind it are lost as
        well: the error is raised then (`DuplicateKeyPutOff` for a duplicate key), and by all that follows, so
        that the unit cannot be committed without them.
        """
        if self._failed is not None:
            raise self._failed
        first: list[str] = []
        if self._lock_wait_s not in (None, self.connection.lock_wait_s):
            first.append(f"SET SESSION innodb_lock_wait_timeout = {self._lock_wait_s:d}")
        if self._transaction and not self._begun:
            first.append("BEGIN")
        journey = [*first, *self._waiting, *questions]
        self._waiting.clear()
        self._characters = 0
        self._begun = self._transaction
        found: list[Outcome] = []
        try:
            await outcomes(self.connection, journey, found)
        except Exception as error:  # of the server, told by which statement it met; raised again
            put_off = len(found) < len(journey) - len(questions)
            if isinstance(error, pymysql.err.IntegrityError) and error.args[0] == DUPLICATE:
                named = (DuplicateKeyPutOff if put_off else DuplicateKey)(str(error.args[1]))
                self._failed = named if put_off else None
                raise named from error
            self._failed = error if put_off else None
            raise
        finally:
            if self._lock_wait_s is not None and found:
                self.connection.lock_wait_s = self._lock_wait_s
        return found[len(journey) - len(questions) :]

    async def settle(self) -> None:
        """Have done what was put off, and a transaction begun."""
        if self._waiting or (self._transaction and not self._begun):
            await self.ask()

    async def commit(self) -> None:
        """End the transaction, unless nothing was ever asked of it."""
        if self._begun or self._waiting:
            await self.ask("COMMIT")

    async def rollback(self) -> None:
        """Undo what was done; what was put off is forgotten."""
        self._waiting.clear()
        if self._begun and not self.connection.closed:
            await self.connection.rollback()

    def close(self) -> None:
        """Give the connection up: nobody knows what it has in store."""
        self.connection.close()
