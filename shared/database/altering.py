"""Steps of migrations for whole columns: how they compare, and what they are to forget.

Columns that hold ids, and words of our own, are compared byte by byte, which is all that they ask for.

The server's usual way of comparing texts knows capitals and accents, and looks at each character for it; in
tables whose keys are ids of 36 characters that was a sixth of all that the database did for an order.
"""

from tortoise.migrations.operations import RunPython, RunSQL
from tortoise.migrations.schema_editor.base import BaseSchemaEditor

from shared.database.forgetting import TEXT

AT_ONCE = 5000
"""So many rows are cleaned in one statement: it holds them for a moment only, in a table of any size."""

_BYTEWISE = " CHARACTER SET ascii COLLATE ascii_bin "


def bytewise(table: str, **columns: str) -> RunSQL:
    """A step of a migration that has columns compare byte by byte: `bytewise("orders", id="CHAR(36) NULL")`.

    A column is given by its type and what else is said of it. Nothing but ASCII fits in afterwards.
    """
    return RunSQL(_alter(table, columns, _BYTEWISE), _alter(table, columns, " "))


def _alter(table: str, columns: dict[str, str], way: str) -> str:
    parts = [f"MODIFY `{name}` {way.join(column.split(' ', 1))}" for name, column in columns.items()]
    return f"ALTER TABLE `{table}` {', '.join(parts)}"


def forget_text(table: str, column: str, member: str, *, key: str = "id") -> RunPython:
    """A step of a migration after which no member of this name holds a text in a column of JSON documents.

    It goes through the table by its primary key, some rows in a statement. In a migration that is not
    `atomic` each of these stands for itself, so that it may be broken off and begun again.
    """
    page = f"SELECT `{key}` AS place FROM `{table}`{{0}} ORDER BY `{key}` LIMIT {AT_ONCE}"
    update = (
        f"UPDATE `{table}` SET `{column}` = REGEXP_REPLACE(`{column}`, %s, %s)"
        f" WHERE `{key}` BETWEEN %s AND %s AND LOCATE(%s, `{column}`) > 0 AND `{column}` REGEXP %s"
    )
    holding_text = rf'"{member}"[ ]*:[ ]*{TEXT}'

    async def clean(_apps: object, editor: BaseSchemaEditor) -> None:
        _, rows = await editor.client.execute_query(page.format(""))
        while rows:
            first, last = rows[0]["place"], rows[-1]["place"]
            name = f'"{member}"'
            await editor.client.execute_query(
                update, [holding_text, f"{name}:null", first, last, name, holding_text]
            )
            _, rows = await editor.client.execute_query(page.format(f" WHERE `{key}` > %s"), [last])

    return RunPython(clean, RunPython.noop)
