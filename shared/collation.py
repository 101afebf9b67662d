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

# One question to each of these tables, and no join: MariaDB 10.11.19 sometimes dies of a segmentation fault
# when one statement reads several of them while others change tables, as services do that migrate at once.
_TABLES = (
    "SELECT table_name, table_collation FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
)
_TEXTS = (
    "SELECT table_name, column_name, collation_name FROM information_schema.columns"
    " WHERE table_schema = DATABASE() AND collation_name IS NOT NULL ORDER BY table_name, ordinal_position"
)
_UNIQUE = (
    "SELECT table_name, column_name FROM information_schema.statistics"
    " WHERE table_schema = DATABASE() AND non_unique = 0"
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
    await cursor.execute(_TABLES)
    tables: dict[str, str] = dict(await cursor.fetchall())
    await cursor.execute(_UNIQUE)
    unique: set[tuple[str, str]] = set(await cursor.fetchall())
    others: dict[str, dict[str, str]] = {table: {} for table, its in tables.items() if its != COLLATION}
    await cursor.execute(_TEXTS)
    for table, column, collation in await cursor.fetchall():
        wanted = EXACT if (table, column) in unique else COLLATION
        if table in tables and collation != wanted and not collation.endswith("_bin"):
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
