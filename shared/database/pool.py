"""The connections of a process: a bounded number, kept while they are good, at servers that can write."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shared.addresses import Server, Servers, to_try
from shared.database.connection import CONNECT_SECONDS, Connection, connect, said
from shared.database.failures import DatabaseUnavailable

RECYCLE_SECONDS = 3600
"""Servers give up idle connections after eight hours, others on the way sooner."""
LIFE_SECONDS = 300.0
"""How long, give or take a half, a connection lives where there are several servers: then all of them have
their even share again within minutes after one is back."""
AVOID_SECONDS = 10.0
"""For so long a server that was away, or took no changes, is asked last."""


class Pool:
    """So many connections to one database at most, the latest used first.

    The driver's pool makes one connection after the other, so that one server that hangs costs each of its
    users that time in turn, and it does not wake who waits when a broken connection is given back.
    """

    def __init__(self, servers: Servers, *, size: int, answer_s: float, lock_wait_s: int) -> None:
        self._servers = servers
        self._answer_s = answer_s
        self._lock_wait_s = lock_wait_s
        self._size = size
        self._in_use = 0
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._left_at: dict[tuple[str, int], float] = defaultdict(lambda: float("-inf"))
        self._avoided: dict[tuple[str, int], float] = {}
        """Until when, as `time.monotonic` counts, a server is asked last."""
        self._is_closed = False

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

    async def connect(self, lock_wait_s: int | None = None, *, to: Server | None = None) -> Connection:
        """A connection beside those that are counted here, on request to one of the servers.

        Raises `DatabaseUnavailable`.
        """
        wait_s = self._lock_wait_s if lock_wait_s is None else lock_wait_s
        servers = self._to_try() if to is None else [to]
        try:
            connection = await connect(
                servers, answer_s=self._answer_s, lock_wait_s=wait_s, passed_over=self.avoid
            )
        except TimeoutError as error:
            raise DatabaseUnavailable(f"no connection within {CONNECT_SECONDS} s") from error
        except Exception as error:  # whatever the driver says, there is no connection to be had
            raise DatabaseUnavailable(said(error)) from error
        several = len(self._servers.now()) > 1
        life_s = LIFE_SECONDS * random.uniform(0.5, 1.5) if several else RECYCLE_SECONDS  # noqa: S311
        connection.use_until = connection.made_at + life_s
        return connection

    def leave(self, failed: Connection) -> None:
        """Use none of the connections any more that were made to this server before `failed` failed.

        The server may be another by now, and they would cost the next units what this one has cost. One that
        is older than the last such failure says nothing new.
        """
        failed.close()
        place = failed.server.place
        if failed.made_at > self._left_at[place]:
            self.avoid(failed.server)
            self._left_at[place] = time.monotonic()
            for connection in [one for one in self._idle if one.server.place == place]:
                self._idle.remove(connection)
                connection.close()

    def close(self) -> None:
        """Close all connections; those that are in use when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _to_try(self) -> Sequence[Server]:
        now = time.monotonic()
        self._avoided = {place: until for place, until in self._avoided.items() if until > now}
        return to_try(self._servers.now(), last=self._avoided)

    def avoid(self, server: Server) -> None:
        """Ask this server last for a while."""
        self._avoided[server.place] = time.monotonic() + AVOID_SECONDS

    def _take(self, lock_wait_s: int | None) -> Connection | None:
        """The connection used last that fits; any, where there may be no more of them."""
        for connection in reversed(self._idle.copy()):
            if not connection.is_usable or time.monotonic() > connection.use_until:
                self._idle.remove(connection)
                connection.close()
            elif lock_wait_s in (None, connection.lock_wait_s):
                self._idle.remove(connection)
                return connection
        is_full = len(self._idle) + self._in_use > self._size
        return self._idle.pop() if self._idle and is_full else None

    def _give_back(self, connection: Connection) -> None:
        self._in_use -= 1
        is_left = self._is_closed or connection.made_at <= self._left_at[connection.server.place]
        if connection.is_usable and not is_left and not connection.get_transaction_status():
            self._idle.append(connection)
        else:
            connection.close()
