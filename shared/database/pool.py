"""The connections of a process: a bounded number, kept while they are good."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.database.connection import CONNECT_SECONDS, Connection, connect
from shared.database.failures import DatabaseUnavailable

RECYCLE_SECONDS = 3600
"""Servers give up idle connections after eight hours, others on the way sooner."""


class Pool:
    """So many connections to one database at most, the latest used first.

    The driver's pool makes one connection after the other, so that one server that hangs costs each of its
    users that time in turn, and it does not wake who waits when a broken connection is given back.
    """

    def __init__(self, url: str, *, size: int, answer_s: float, lock_wait_s: int) -> None:
        self._url = url
        self._answer_s = answer_s
        self._lock_wait_s = lock_wait_s
        self._size = size
        self._in_use = 0
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._left_at = float("-inf")

    @asynccontextmanager
    async def connection(self, lock_wait_s: int | None = None) -> AsyncIterator[Connection]:
        """A connection for as long as the block runs; kept afterwards unless it was closed meanwhile.

        If possible it is one that waits for locks as long as is wanted, so that it need not be told first.
        Raises `DatabaseUnavailable`.
        """
        async with self._slots:
            self._in_use += 1
            try:
                connection = self._take(lock_wait_s) or await self.connect(lock_wait_s)
            except BaseException:  # there is none to give back; raised again
                self._in_use -= 1
                raise
            try:
                yield connection
            finally:
                self._give_back(connection)

    async def connect(self, lock_wait_s: int | None = None) -> Connection:
        """A connection beside those that are counted here. Raises `DatabaseUnavailable`."""
        wait_s = self._lock_wait_s if lock_wait_s is None else lock_wait_s
        try:
            return await connect(self._url, answer_s=self._answer_s, lock_wait_s=wait_s)
        except TimeoutError as error:
            raise DatabaseUnavailable(f"no connection within {CONNECT_SECONDS} s") from error
        except Exception as error:  # whatever the driver says, there is no connection to be had
            raise DatabaseUnavailable(str(error)) from error

    def leave(self, failed: Connection) -> None:
        """Use none of the connections any more that were made before `failed` failed.

        They lead to the same server, which may be another by now, and would cost the next units what this
        one has cost. One that is older than the last such failure says nothing new.
        """
        failed.close()
        if failed.made_at > self._left_at:
            self.close()

    def close(self) -> None:
        """Close all connections; those that are in use when they are given back."""
        self._left_at = time.monotonic()
        while self._idle:
            self._idle.pop().close()

    def _take(self, lock_wait_s: int | None) -> Connection | None:
        """The connection used last that fits; any, where there may be no more of them."""
        for connection in reversed(self._idle.copy()):
            if not connection.is_usable or time.monotonic() - connection.made_at > RECYCLE_SECONDS:
                self._idle.remove(connection)
                connection.close()
            elif lock_wait_s in (None, connection.lock_wait_s):
                self._idle.remove(connection)
                return connection
        is_full = len(self._idle) + self._in_use > self._size
        return self._idle.pop() if self._idle and is_full else None

    def _give_back(self, connection: Connection) -> None:
        self._in_use -= 1
        usable = connection.is_usable and connection.made_at > self._left_at
        if usable and not connection.get_transaction_status():
            self._idle.append(connection)
        else:
            connection.close()
