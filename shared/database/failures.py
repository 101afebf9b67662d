"""What a database that cannot be used says, and which of it means what.

Away is a server that cannot be reached, hung up, did not answer, or cannot write now: the same work may be
done later. Slow is not away: a unit of work that takes too long while the server answers others has itself to
blame, and so has one that waits for rows that somebody holds.
"""

import re

import pymysql.err

from shared.database.pipeline import DuplicateKey, DuplicateKeyPutOff

DEADLOCK, LOCK_TIMEOUT = 1213, 1205
READ_ONLY_OPTION = 1290
"""The server runs with some option that forbids the statement: `read_only`, or one of several others."""
_READ_ONLY = re.compile(r"--(?:super[-_])?read[-_]only\b")

# Too many connections, shutdown in progress, killed, cannot connect, gone away, lost during query, idle for
# too long; a server that its operators took offline.
AWAY = frozenset(
    {
        *(1040, 1053, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1927, 2002, 2003, 2006, 2013, 2014),
        *(3032, 3169, 4031),
    }
)
# A transaction that may only read, a server that may only read, a node outside its cluster's majority, a full
# disk, a full table space.
CANNOT_WRITE = frozenset({1792, 1836, 1047, 1021, 1114})
# An error of a file, with that of the operating system in its text.
_OF_A_FILE = frozenset({3, 1026, 1030})
_NO_SPACE = re.compile(r"\berr(?:code|no|or):? 28\b", re.IGNORECASE)


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or went away in the middle; the unit may be run again later."""


class CommitUnknown(DatabaseUnavailable):
    """The commit was sent and its answer never came: the unit may have been done, or not."""


class CannotWrite(DatabaseUnavailable):
    """The database answers but takes no changes now, being read only or its disk full. Nothing was done."""


class TooSlow(Exception):
    """A unit of work took too long while the database was well. It was undone."""


class RowsLocked(Exception):
    """A unit of work that was to wait for locks only shortly met rows that others hold. It was undone."""


def code_of(error: BaseException) -> int | None:
    """The server's or the driver's number of an error; None for what comes from neither."""
    error = driver_error(error)
    if isinstance(error, pymysql.err.MySQLError) and error.args and isinstance(error.args[0], int):
        return error.args[0]
    return None


def is_away(error: BaseException) -> bool:
    """Whether an error says that the server is not there any more, at least for this connection."""
    inner = driver_error(error)
    return (
        code_of(error) in AWAY
        or isinstance(inner, ConnectionError | EOFError | pymysql.err.InterfaceError)
        or (isinstance(inner, pymysql.err.InternalError) and "sequence" in str(inner))
    )


def cannot_write(error: BaseException) -> bool:
    """Whether an error says that no change whatever would be taken now.

    1290 is, where its text names the option `read_only`: to ask the server which one it means would be too
    late where that was switched off again in the meantime. Of a text without it only `@@read_only` can tell.
    """
    code = code_of(error)
    text = str(driver_error(error))
    return (
        code in CANNOT_WRITE
        or (code in _OF_A_FILE and _NO_SPACE.search(text) is not None)
        or (code == READ_ONLY_OPTION and _READ_ONLY.search(text) is not None)
    )


def driver_error(error: BaseException) -> BaseException:
    """The driver's own error inside Tortoise's translation or ours; another error as it is."""
    if isinstance(error, DuplicateKey | DuplicateKeyPutOff) and error.__cause__ is not None:
        return error.__cause__
    if error.args and isinstance(error.args[0], BaseException):
        return error.args[0]
    return error
