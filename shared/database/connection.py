"""What a connection to the database is told before anything is asked on it."""

from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from pymysql.constants import FIELD_TYPE
from pymysql.converters import decoders

from shared.collation import SET_NAMES

CONNECT_SECONDS = 5


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
