"""Connections to the database: what each is told first, what it must prove, and how long it waits."""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import aiomysql
import pymysql.err
from pymysql.constants import CLIENT, CR, FIELD_TYPE
from pymysql.converters import decoders

from shared.addresses import Server, takes_changes
from shared.clock import naive
from shared.collation import SET_NAMES
from shared.database.lateness import ServerClock
from shared.database.results import outcomes

CONNECT_SECONDS = 5
HURRY_SECONDS = 2
"""For a server that says nothing, where there are others to try."""
UNACKNOWLEDGED_SECONDS = 5
"""A host that has not acknowledged for so long what was sent to it, or a probe, is gone."""
# They would give answers another form than the one that is read here, or have the server ask for a file.
# (The last four have no names in the driver: session tracking, no ends of columns, optional metadata, ZSTD,
# attributes of queries.)
OTHER_FORMS = CLIENT.COMPRESS | CLIENT.LOCAL_FILES | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26 | 1 << 27
_SEES_ALL = " /*M!100000 , wsrep_sync_wait = 7 */"
"""Where a unit's connection may lead to another node of a Galera cluster than that of the unit before, it
must see what that one committed: a statement waits until its node has it. Other MariaDB servers do not
wait, and MySQL reads a comment."""
_PROOF = (
    "SELECT UTC_TIMESTAMP(6), @@read_only, @@sql_mode, @@character_set_client, @@character_set_connection,"
    " @@character_set_results"
)


class NoAnswer(pymysql.err.OperationalError):
    """The server kept silent for too long. It may hang, or work on something long."""


class Connection(aiomysql.Connection):
    """The driver's, but: it waits for no bytes for ever, answers come in one form only, and TLS means TLS."""

    def __init__(self, server: Server, *, answer_s: float) -> None:
        super().__init__(autocommit=True, **connection_options(server))
        self.server = server
        self.client_flag &= ~OTHER_FORMS
        self.answer_s = answer_s
        self.made_at = time.monotonic()
        self.use_until = float("inf")
        """As `time.monotonic` counts; then whoever is next makes a fresh one."""
        self.is_read_only = False
        """Whether the server said, when it was asked first, that it takes no changes."""
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

    async def _request_authentication(self) -> None:
        """The driver would send the password without TLS to a server that has none."""
        if self.server.tls is not None and not self.server_capabilities & CLIENT.SSL:
            # An OSError's text the driver would replace by its own.
            said = "the server offers no TLS, and the way there is to be encrypted"
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, said)
        await super()._request_authentication()
        if self.server.tls is not None:  # and so it reads from another stream by now
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


async def connect(
    servers: Sequence[Server],
    *,
    answer_s: float,
    lock_wait_s: int,
    passed_over: Callable[[Server], None] = lambda _: None,
) -> Connection:
    """A connection to the first of these that takes changes, else to one that can be read.

    It has proved that it takes our literals for what they are. `passed_over` is told of each server that was
    away or takes no changes. Raises what the driver raises, `TimeoutError`, or `ConnectionError` for servers
    that would read literals otherwise; of several servers, `ConnectionError` with what each of them said.
    """
    spare: Connection | None = None
    failures: list[tuple[Server, Exception]] = []
    try:
        for number, server in enumerate(servers, 1):
            try:
                connection = await _connect(
                    server,
                    CONNECT_SECONDS if number == len(servers) else HURRY_SECONDS,
                    answer_s=answer_s,
                    lock_wait_s=lock_wait_s,
                    among_several=len(servers) > 1,
                )
            except asyncio.CancelledError:  # it may be this one's silence that the caller has no time for
                passed_over(server)
                raise
            except Exception as error:  # whatever is wrong with this one, the next may be well
                failures.append((server, error))
                passed_over(server)
                continue
            if not connection.is_read_only:
                return connection
            passed_over(server)
            if spare is None:
                spare = connection
            else:
                connection.close()
        if spare is not None:
            found, spare = spare, None
            return found
    finally:
        if spare is not None:
            spare.close()
    if len(failures) == 1:
        raise failures[0][1]
    raise ConnectionError("; ".join(f"{server}: {said(error)}" for server, error in failures))


async def _connect(
    server: Server, within_s: float, *, answer_s: float, lock_wait_s: int, among_several: bool
) -> Connection:
    connection = Connection(server, answer_s=answer_s)
    try:
        # The driver's own time limit ends before the server's greeting.
        async with asyncio.timeout(within_s):
            await connection._connect()
            await _prove(connection, lock_wait_s, among_several=among_several)
    except BaseException:  # also a cancelled one: a connection half made is nobody's; raised again
        connection.close()
        raise
    return connection


def said(error: Exception) -> str:
    """What was wrong with a server, with the system's own words where the driver leaves them out."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    inner = error.__cause__
    return f"{error} ({inner})" if isinstance(inner, OSError) and str(inner) else str(error)


async def _prove(connection: Connection, lock_wait_s: int, *, among_several: bool) -> None:
    """Whatever stands between, a server's `init_connect` or a proxy, may have changed what we said."""
    told = f"SET SESSION innodb_lock_wait_timeout = {lock_wait_s:d}, time_zone = '+00:00'"
    _, found = await outcomes(connection, [told + _SEES_ALL * among_several, _PROOF])
    [(showed, read_only, sql_mode, *character_sets)] = found.rows
    if set(character_sets) != {"utf8mb4"} or "NO_BACKSLASH_ESCAPES" in sql_mode:
        raise ConnectionError(
            f"the server reads statements as {', '.join(character_sets)} with sql_mode={sql_mode!r}; our"
            " texts are written for utf8mb4 and backslashes"
        )
    connection.is_read_only = not takes_changes(read_only)
    connection.lock_wait_s = lock_wait_s
    connection.server_clock = ServerClock(naive(showed), time.monotonic())


def connection_options(server: Server) -> dict[str, Any]:
    """What the driver is told about a database. Raises `ConnectionError` for files that are no good."""
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user or "",
        "password": server.password or "",
        "db": unquote(server.path[1:]),
        "ssl": server.tls.context() if server.tls else None,
        "charset": "utf8mb4",
        "sql_mode": "STRICT_TRANS_TABLES",
        "connect_timeout": CONNECT_SECONDS,
        # The driver's own reading of times takes them apart with regular expressions.
        "conv": decoders | {FIELD_TYPE.DATETIME: datetime.fromisoformat},
        "init_command": f"{SET_NAMES}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    }
