"""What the server answers to statements: the reading side of MySQL's text protocol.

The driver makes an object of each packet, and waits twice for it. Services read their rows in lists, and that
was a third of all that the order service did; here rows are cut out of whatever has arrived. For the
protocol see "Text Resultset", "OK_Packet" and "EOF_Packet" in MySQL's internals manual.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import pymysql.err
from pymysql.constants import COMMAND, CR, FIELD_TYPE, SERVER_STATUS

from shared.clock import aware

CHUNK_BYTES = 256 * 1024
LONGEST_PAYLOAD = 0xFFFFFF
"""A packet of this length is not a whole answer: it goes on in the next."""
LONGEST_END = 8
"""A row may begin with the same byte as the end of all rows, which is never longer than this."""
NO_TEXT = 63
"""The number of the character set of bytes that are not text."""

_OK, _NULL, _LOCAL_FILE, _END, _ERROR = 0x00, 0xFB, 0xFB, 0xFE, 0xFF
_LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""How many bytes a number has that this byte announces; smaller bytes are numbers themselves."""

Read = Callable[[bytes], Any]
"""Makes a value out of what the server wrote."""


class Outcome(NamedTuple):
    """What came of one statement: its rows, how many it changed, and the id it made."""

    rows: list[tuple[Any, ...]]
    changed: int
    last_id: int


class OutOfStep(Exception):
    """The server's answers do not fit the statements that it was sent. The connection has been given up."""


async def outcomes(
    connection: Any, statements: Sequence[str], found: list[Outcome] | None = None
) -> list[Outcome]:
    """Run statements in one journey on a connection of the driver's; returns what came of each.

    Times are read as aware datetimes in UTC. Raises what the driver would raise: the server's error, after
    which no further statement is done, or `OperationalError` if the connection broke. `found` is filled
    meanwhile: its length says which statement met the error. Raises `OutOfStep` if there are not as many
    answers as statements, for then nobody can say which is whose.
    """
    found = [] if found is None else found
    # The driver has a public way to send a statement only together with its own way of reading the answer.
    await connection._execute_command(COMMAND.COM_QUERY, ";".join(statements))
    packets = _Packets(connection)
    more = True
    try:
        while more and len(found) < len(statements):
            outcome, connection.server_status = await _outcome(packets)
            found.append(outcome)
            more = bool(connection.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)
    finally:
        # With a part of the answer unread, whoever comes next would take the rest of it for its own.
        if (more or packets.has_unread) and not packets.ended_in_error:
            connection.close()
    if more or len(found) < len(statements):
        connection.close()
        answers = "more" if more else f"{len(found)}"
        raise OutOfStep(f"{answers} answers to {len(statements)} statements: does one hold a semicolon?")
    return found


async def rows_in_parts(connection: Any, sql: str, size: int) -> AsyncGenerator[list[tuple[Any, ...]], None]:
    """The rows of one statement while they arrive, `size` at a time: never are all of them in memory.

    Times, and what is raised, are as with `outcomes`. Whoever stops before the end loses the connection.
    """
    await connection._execute_command(COMMAND.COM_QUERY, sql)
    packets = _Packets(connection)
    ended = False
    try:
        reads = await _reads(packets, await packets.next())
        part: list[tuple[Any, ...]] = []
        while not ended:
            payload = await packets.next()
            ended = _is_end(payload)
            if not ended:
                part.append(_row(payload, reads))
            if part and (ended or len(part) == size):
                yield part
                part = []
    finally:
        if not ended and not packets.ended_in_error:
            connection.close()


class _Packets:
    """What arrives, cut into payloads: each comes after three bytes of its length and one of its number."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._arrived = b""
        self._at = 0
        self._number = 1
        self.ended_in_error = False
        """Whether the server told of an error, after which nothing follows."""

    @property
    def has_unread(self) -> bool:
        """Whether more has arrived than was read."""
        return self._at < len(self._arrived)

    async def next(self) -> bytes:
        """The next payload. Raises the error that it tells, if it is one."""
        while (payload := self.arrived()) is None:
            await self._receive()
        if payload[0] == _ERROR:
            self.ended_in_error = True
            pymysql.err.raise_mysql_exception(payload)
        return payload

    def arrived(self) -> bytes | None:
        """The next payload, if all of it is here.

        Raises `OperationalError` for one out of turn: a server that gives up on a client says so unasked.
        """
        whole = b""
        at, number = self._at, self._number
        while True:
            start = at + 4
            length = int.from_bytes(self._arrived[at : at + 3], "little")
            at = start + length
            if len(self._arrived) < at:
                return None
            if self._arrived[start - 1] != number:
                raise self._lost("it spoke out of turn")
            number = (number + 1) % 256
            whole += self._arrived[start:at]
            if length < LONGEST_PAYLOAD:
                self._at, self._number = at, number
                return whole

    async def _receive(self) -> None:
        try:
            chunk = await self._connection._reader.read(CHUNK_BYTES)
        except OSError as error:
            raise self._lost(str(error)) from error
        except pymysql.err.OperationalError:  # silent for too long
            self._connection.close()
            raise
        if not chunk:
            raise self._lost("it hung up")
        self._arrived = self._arrived[self._at :] + chunk
        self._at = 0

    def _lost(self, why: str) -> Exception:
        self._connection.close()
        return pymysql.err.OperationalError(CR.CR_SERVER_LOST, f"Lost the server during a query: {why}")


async def _outcome(packets: _Packets) -> tuple[Outcome, int]:
    """What came of the next statement, and the server's status flags after it."""
    first = await packets.next()
    if first[0] == _OK:
        changed, at = _number(first, 1)
        last_id, at = _number(first, at)
        return Outcome([], changed, last_id), int.from_bytes(first[at : at + 2], "little")
    reads = await _reads(packets, first)
    rows: list[tuple[Any, ...]] = []
    while True:
        payload = await packets.next()
        if _is_end(payload):
            return Outcome(rows, len(rows), 0), int.from_bytes(payload[3:5], "little")
        rows.append(_row(payload, reads))


async def _reads(packets: _Packets, first: bytes) -> list[Read]:
    """How the columns are read of the rows that follow, of which `first` tells how many there are."""
    if first[0] == _LOCAL_FILE:
        raise pymysql.err.NotSupportedError("the server asks for a file of this host, which it will not get")
    columns, _ = _number(first, 0)
    reads = [_read_of(await packets.next()) for _ in range(columns)]
    if not _is_end(await packets.next()):
        # Without this end, as newer servers send answers if they are let, the first row would be lost.
        raise OutOfStep(f"after {columns} columns something else comes than their end")
    return reads


def _is_end(payload: bytes) -> bool:
    return payload[0] == _END and len(payload) <= LONGEST_END


def _read_of(column: bytes) -> Read:
    """How a column's values are read. Its type and character set stand near the end of its definition."""
    kind = column[-6]
    if kind in _TEXTS:
        character_set = int.from_bytes(column[-12:-10], "little")
        return bytes if character_set == NO_TEXT else bytes.decode
    if kind == FIELD_TYPE.NEWDECIMAL and column[-3] == 0:
        return int  # without places it is a whole number: what the server makes of the sum of such
    if kind not in _READS:
        raise pymysql.err.NotSupportedError(f"columns of type {kind} are not read here")
    return _READS[kind]


def _row(payload: bytes, reads: Sequence[Read]) -> tuple[Any, ...]:
    values: list[Any] = []
    at = 0
    for read in reads:
        length = payload[at]
        at += 1
        if length == _NULL:
            values.append(None)
            continue
        if length > _NULL:
            length, at = _number(payload, at - 1)
        end = at + length
        values.append(read(payload[at:end]))
        at = end
    return tuple(values)


def _number(payload: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes (a "length-encoded integer"), and where what follows begins."""
    size = _LENGTHS.get(payload[at])
    if size is None:
        return payload[at], at + 1
    end = at + 1 + size
    return int.from_bytes(payload[at + 1 : end], "little"), end


@lru_cache(256)  # a list's rows have few moments between them: that of its own change, those of earlier ones
def _moment(value: bytes) -> datetime:
    return aware(datetime.fromisoformat(value.decode()))


_TEXTS = frozenset(
    {
        FIELD_TYPE.VARCHAR,
        FIELD_TYPE.VAR_STRING,
        FIELD_TYPE.STRING,
        FIELD_TYPE.TINY_BLOB,
        FIELD_TYPE.BLOB,
        FIELD_TYPE.MEDIUM_BLOB,
        FIELD_TYPE.LONG_BLOB,
    }
)
_READS: dict[int, Read] = {
    FIELD_TYPE.TINY: int,
    FIELD_TYPE.SHORT: int,
    FIELD_TYPE.INT24: int,
    FIELD_TYPE.LONG: int,
    FIELD_TYPE.LONGLONG: int,
    FIELD_TYPE.FLOAT: float,
    FIELD_TYPE.DOUBLE: float,
    FIELD_TYPE.NEWDECIMAL: lambda value: Decimal(value.decode()),
    FIELD_TYPE.DATETIME: _moment,
    FIELD_TYPE.TIMESTAMP: _moment,
    FIELD_TYPE.DATE: lambda value: date.fromisoformat(value.decode()),
    FIELD_TYPE.JSON: bytes.decode,
    FIELD_TYPE.NULL: bytes.decode,
}
