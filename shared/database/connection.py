"""Connections to the database: what each is told first, what it must prove, and how long it waits."""

import asyncio
import socket
import time
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomysql
import pymysql.err
from pymysql.constants import CLIENT, CR, FIELD_TYPE
from pymysql.converters import decoders

from shared.clock import naive
from shared.collation import SET_NAMES
from shared.database.lateness import ServerClock
from shared.database.results import outcomes

CONNECT_SECONDS = 5
UNACKNOWLEDGED_SECONDS = 5
"""A host that has not acknowledged for so long what was sent to it, or a probe, is gone."""
# They would give answers another form than the one that is read here, or have the server ask for a file.
# (The last four have no names in the driver: session tracking, no ends of columns, optional metadata, ZSTD,
# attributes of queries.)
OTHER_FORMS = CLIENT.COMPRESS | CLIENT.LOCAL_FILES | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26 | 1 << 27
_PROOF = (
    "SELECT UTC_TIMESTAMP(6), @@sql_mode, @@character_set_client, @@character_set_connection,"
    " @@character_set_results"
)


class NoAnswer(pymysql.err.OperationalError):
    """The server kept silent for too long. It may hang, or work on something long."""


class Connection(aiomysql.Connection):
    """The driver's, but for two things: it waits for no bytes for ever, and answers come in one form only."""

    def __init__(self, url: str, *, answer_s: float) -> None:
        super().__init__(autocommit=True, **connection_options(url))
        self.client_flag &= ~OTHER_FORMS
        self.answer_s = answer_s
        self.made_at = time.monotonic()
        self.server_clock = ServerClock(datetime.min, 0.0)  # noqa: DTZ901  asked before anything else is
        self.lock_wait_s: int | None = None
        """How long it waits for locks, as far as it was told."""

    @property
    def is_usable(self) -> bool:
        """Whether nothing is known to be wrong with it."""
        reader: asyncio.StreamReader | None = self._reader
        return reader is not None and not reader.at_eof() and reader.exception() is None

    def close(self) -> None:
        """Give it up at once: what has not been sent yet is not to be sent any more."""
        if self._writer is not None:
            self._writer.transport.abort()
        super().close()

    def _set_keep_alive(self) -> None:
        """The driver calls this once it is connected, before it reads anything."""
        super()._set_keep_alive()
        of_system: Any = self._writer.transport.get_extra_info("socket")  # type: ignore[union-attr]
        for name, value in (
            ("TCP_KEEPIDLE", UNACKNOWLEDGED_SECONDS),
            ("TCP_KEEPINTVL", UNACKNOWLEDGED_SECONDS),
            ("TCP_KEEPCNT", 1),
            ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_SECONDS * 1000),
        ):
            if hasattr(socket, name):  # not every system has each of them
                of_system.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._bound_waits()

    def _bound_waits(self) -> None:
        """Every read, the driver's and ours, waits in one function of the stream: for `answer_s` at most."""
        reader: Any = self._reader
        wait = reader._wait_for_data
        call_later = asyncio.get_running_loop().call_later

        def give_up() -> None:
            reader.set_exception(NoAnswer(CR.CR_SERVER_LOST, f"no answer within {self.answer_s:g} s"))

        async def wait_for_data(name: str) -> None:
            timer = call_later(self.answer_s, give_up)
            try:
                await wait(name)
            finally:
                timer.cancel()

        reader._wait_for_data = wait_for_data


async def connect(url: str, *, answer_s: float, lock_wait_s: int) -> Connection:
    """A connection that has proved that it takes our literals for what they are.

    Raises what the driver raises, `TimeoutError`, or `ConnectionError` for a server that would read them
    otherwise.
    """
    connection = Connection(url, answer_s=answer_s)
    try:
        # The driver's own time limit ends before the server's greeting.
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection._connect()
            await _prove(connection, lock_wait_s)
    except BaseException:  # also a cancelled one: a connection half made is nobody's; raised again
        connection.close()
        raise
    return connection


async def _prove(connection: Connection, lock_wait_s: int) -> None:
    """Whatever stands between, a server's `init_connect` or a proxy, may have changed what we said."""
    told = f"SET SESSION innodb_lock_wait_timeout = {lock_wait_s:d}, time_zone = '+00:00'"
    _, found = await outcomes(connection, [told, _PROOF])
    [(showed, sql_mode, *character_sets)] = found.rows
    if set(character_sets) != {"utf8mb4"} or "NO_BACKSLASH_ESCAPES" in sql_mode:
        raise ConnectionError(
            f"the server reads statements as {', '.join(character_sets)} with sql_mode={sql_mode!r}; our"
            " texts are written for utf8mb4 and backslashes"
        )
    connection.lock_wait_s = lock_wait_s
    connection.server_clock = ServerClock(naive(showed), time.monotonic())


def connection_options(url: str) -> dict[str, Any]:
    """What the driver is told about a database at `url`. Raises `ValueError` for what cannot be one."""
    parts = urlsplit(url)
    if parts.scheme != "mysql" or not parts.hostname or len(parts.path) < 2:
        raise ValueError(f"a database URL looks like mysql://user:password@host:port/name, not {url!r}")
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "db": parts.path[1:],
        "charset": "utf8mb4",
        "sql_mode": "STRICT_TRANS_TABLES",
        "connect_timeout": CONNECT_SECONDS,
        # The driver's own reading of times takes them apart with regular expressions.
        "conv": decoders | {FIELD_TYPE.DATETIME: datetime.fromisoformat},
        "init_command": f"{SET_NAMES}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    }
