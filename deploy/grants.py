"""What the database's users may do: services with their own rows, `migrate` with tables, `verify` may read.

What is granted by column is granted after the migrations, for it must be there.
"""

import importlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pymysql

from deploy.services import Service

VERIFY_USER = "verify"
"""Reads every service's database but its secrets, and can change nothing."""
MIGRATE_USER = "migrate"
"""Makes and changes the tables of all services."""
AT_WORK = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""All that a service may do in its own database."""


def grant_work(cursor: "pymysql.cursors.Cursor", schema: str, user: str) -> None:
    """Let a service work in its own database and nowhere else, and migrations change its tables."""
    pattern = _pattern(schema)
    cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO '{MIGRATE_USER}'@'%'")
    cursor.execute(f"GRANT {', '.join(AT_WORK)} ON `{pattern}`.* TO '{user}'@'%'")
    _revoke(cursor, pattern, user, _schema_privileges(cursor, pattern, user) - {*AT_WORK})


def grant_reading(
    cursor: "pymysql.cursors.Cursor",
    schema: str,
    secret: Mapping[str, Collection[str]],
    user: str = VERIFY_USER,
) -> None:
    """Let `verify` read every column of a database that is there now, but the secret ones.

    Only what differs is changed: a start of a shop that has not changed asks two questions.
    """
    wanted: dict[str, set[str]] = {}
    for table, column in _rows(
        cursor,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
        schema,
    ):
        if column not in secret.get(table, ()):
            wanted.setdefault(table, set()).add(column)
    granted: dict[str, set[str]] = {}
    for table, column in _rows(
        cursor,
        "SELECT table_name, column_name FROM information_schema.column_privileges"
        " WHERE table_schema = %s AND grantee = %s AND privilege_type = 'SELECT'",
        schema,
        f"'{user}'@'%'",
    ):
        granted.setdefault(table, set()).add(column)
    for table in sorted(wanted.keys() | granted.keys()):
        want, have = wanted.get(table, set[str]()), granted.get(table, set[str]())
        if extra := have - want:
            cursor.execute(f"REVOKE SELECT ({_listed(extra)}) ON `{schema}`.`{table}` FROM '{user}'@'%'")
        if lacking := want - have:
            cursor.execute(f"GRANT SELECT ({_listed(lacking)}) ON `{schema}`.`{table}` TO '{user}'@'%'")
    pattern = _pattern(schema)
    _revoke(cursor, pattern, user, _schema_privileges(cursor, pattern, user))


def secrets_of(service: Service) -> dict[str, frozenset[str]]:
    """The secret columns of a service's database by table, as its `secret_columns.py` says, if it has one."""
    name = f"{service.module}.secret_columns"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return {}
    return {table: frozenset(columns) for table, columns in module.SECRET.items()}


def _schema_privileges(cursor: "pymysql.cursors.Cursor", pattern: str, user: str) -> set[str]:
    rows = _rows(
        cursor,
        "SELECT privilege_type FROM information_schema.schema_privileges"
        " WHERE table_schema = %s AND grantee = %s",
        pattern,
        f"'{user}'@'%'",
    )
    return {privilege for (privilege,) in rows}


def _revoke(cursor: "pymysql.cursors.Cursor", pattern: str, user: str, privileges: set[str]) -> None:
    if privileges - {"USAGE"}:
        cursor.execute(
            f"REVOKE {', '.join(sorted(privileges - {'USAGE'}))} ON `{pattern}`.* FROM '{user}'@'%'"
        )


def _rows(cursor: "pymysql.cursors.Cursor", sql: str, *args: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql, args)
    return list(cursor.fetchall())


def _pattern(schema: str) -> str:
    r"""An underscore is a wildcard in a grant: unescaped, `a_svc` would open `absvc` as well."""
    return schema.replace("_", r"\_")


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in sorted(columns))
