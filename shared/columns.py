"""Columns that hold ids, and words of our own: compared byte by byte, which is all that they ask for.

The server's usual way of comparing texts knows capitals and accents, and looks at each character for it; in
tables whose keys are ids of 36 characters that was a sixth of all that the database did for an order.
"""

from tortoise.migrations.operations import RunSQL

_BYTEWISE = " CHARACTER SET ascii COLLATE ascii_bin "


def bytewise(table: str, **columns: str) -> RunSQL:
    """A step of a migration that has columns compare byte by byte: `bytewise("orders", id="CHAR(36) NULL")`.

    A column is given by its type and what else is said of it. Nothing but ASCII fits in afterwards.
    """
    return RunSQL(_alter(table, columns, _BYTEWISE), _alter(table, columns, " "))


def _alter(table: str, columns: dict[str, str], way: str) -> str:
    parts = [f"MODIFY `{name}` {way.join(column.split(' ', 1))}" for name, column in columns.items()]
    return f"ALTER TABLE `{table}` {', '.join(parts)}"
