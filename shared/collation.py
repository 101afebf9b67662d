"""How texts compare: the same on every server, whatever it would do by itself.

Servers differ in the collation they give to a table or a connection that asks for none, and two texts of
different ones cannot be compared at all. So each connection says ours, and each run of migrations ends with
every table of the database having it, however its migration made it.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiomysql import Cursor

COLLATION = "utf8mb4_unicode_520_ci"
"""MySQL and MariaDB both have it, and it tells characters beyond the Basic Multilingual Plane apart."""
EXACT = "utf8mb4_bin"
"""For what must be unique: whoever wants two spellings to be one folds them before they are written."""
SET_NAMES = f"SET NAMES utf8mb4 COLLATE {COLLATION}"
"""First of all on each connection: a server's `init_connect` may have chosen another character set, in which
a quote that was escaped for ours ends the text."""

_TEXTS = (
    "SELECT c.table_name, c.column_name, c.collation_name, EXISTS (SELECT 1"
    " FROM information_schema.statistics s WHERE s.table_schema = c.table_schema"
    " AND s.table_name = c.table_name AND s.column_name = c.column_name AND s.non_unique = 0)"
    " FROM information_schema.columns c JOIN information_schema.tables t"
    " ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'"
    " WHERE c.table_schema = DATABASE() AND c.collation_name IS NOT NULL"
    " ORDER BY c.table_name, c.ordinal_position"
)
_TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    " AND table_type = 'BASE TABLE' AND table_collation <> %s"
)
_COLUMN = re.compile(r"^  `(?P<name>[^`]+)` (?P<definition>.+?),?$", re.MULTILINE)
_TYPE = re.compile(r"^(\w+(?:\([^)]*\))?)(?: CHARACTER SET \w+)?(?: COLLATE \w+)?")


async def adopt(cursor: "Cursor") -> list[str]:
    """Have the database and all its tables compare texts by `COLLATION`; returns the tables it changed.

    A column that compares byte by byte stays as it is, and one that is part of a unique key becomes such a
    one. Thus no rows that were different can turn out to be the same, and the change never fails halfway.
    Where all is well nothing is written.
    """
    await cursor.execute("SELECT @@collation_database")
    if (await cursor.fetchone()) != (COLLATION,):
        await cursor.execute(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {COLLATION}")
    await cursor.execute(_TABLES, (COLLATION,))
    others: dict[str, dict[str, str]] = {table: {} for (table,) in await cursor.fetchall()}
    await cursor.execute(_TEXTS)
    for table, column, collation, is_unique in await cursor.fetchall():
        wanted = EXACT if is_unique else COLLATION
        if collation != wanted and not collation.endswith("_bin"):
            others.setdefault(table, {})[column] = wanted
    for table, columns in others.items():
        await cursor.execute(f"SHOW CREATE TABLE `{table}`")
        await cursor.execute(_change(table, columns, (await cursor.fetchone())[1]))
    return list(others)


def _change(table: str, columns: dict[str, str], created_by: str) -> str:
    """One statement for all of a table's columns: each is defined anew, as its table was created, but for the
    collation. (CONVERT TO would change those that compare byte by byte as well.)"""
    definitions = {found["name"]: found["definition"] for found in _COLUMN.finditer(created_by)}
    changes = [f"DEFAULT CHARACTER SET utf8mb4 COLLATE {COLLATION}"]
    for name, collation in columns.items():
        definition = _TYPE.sub(rf"\1 CHARACTER SET utf8mb4 COLLATE {collation}", definitions[name], count=1)
        changes.append(f"MODIFY `{name}` {definition}")
    return f"ALTER TABLE `{table}` {', '.join(changes)}"
