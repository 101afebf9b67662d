"""How the database goes about a question, told alike by every server."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from shared.database.transaction import Reader

_MARIADB = ("id", "select", "table", "type", "possible", "key", "length", "ref", "rows", "extra")
_MYSQL = (*_MARIADB[:3], "partitions", *_MARIADB[3:9], "filtered", "extra")


class Plan(NamedTuple):
    """One table of a plan; `table` is None where there is nothing to read, `rows` may be looked at."""

    table: str | None
    way: str | None
    possible: str | None
    key: str | None
    rows: int
    extra: str

    @property
    def sorts(self) -> bool:
        """Whether rows are put in order after they were read, and so must all be read."""
        return "filesort" in self.extra


async def plans_of(reader: Reader, sql: str, args: Sequence[Any] = ()) -> list[Plan]:
    """The plan of a query, table by table."""
    [(version,)] = await reader.rows("SELECT VERSION()")
    # MySQL 9 draws a tree unless it is asked for rows; MariaDB knows no other way.
    explain = "EXPLAIN" if "MariaDB" in version else "EXPLAIN FORMAT=TRADITIONAL"
    rows = await reader.rows(f"{explain} {sql}", args)
    return [
        _plan(dict(zip(_MYSQL if len(row) > len(_MARIADB) else _MARIADB, row, strict=True))) for row in rows
    ]


def _plan(row: dict[str, Any]) -> Plan:
    return Plan(
        row["table"], row["type"], row["possible"], row["key"], int(row["rows"] or 0), row["extra"] or ""
    )
