"""Every text of every service compares by one collation, or byte by byte, on whatever server it is kept."""

import pytest

from deploy.databases import connect
from deploy.local.layout import Layout
from deploy.services import load_services
from shared.collation import COLLATION

BYTEWISE = {"ascii_bin", "utf8mb4_bin"}
# What the driver of migrations keeps for itself is a table like any other.
SERVICES = [service.module for service in load_services() if service.database]


@pytest.mark.parametrize("module", SERVICES)
def test_every_table_and_text_has_it(servers: Layout, schemas: dict[str, str], module: str) -> None:
    schema = schemas[module]
    with connect(servers.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, table_collation FROM information_schema.tables WHERE table_schema = %s",
            (schema,),
        )
        tables = dict(cursor.fetchall())
        cursor.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = %s AND collation_name IS NOT NULL",
            (schema,),
        )
        texts = {(table, column): collation for table, column, collation in cursor.fetchall()}
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.statistics"
            " WHERE table_schema = %s AND non_unique = 0",
            (schema,),
        )
        unique = set(cursor.fetchall())
        cursor.execute(
            "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = %s", (schema,)
        )
        assert cursor.fetchone() == (COLLATION,)
    assert len(tables) > 3
    assert set(tables.values()) == {COLLATION}
    assert set(texts.values()) <= {COLLATION, *BYTEWISE}
    assert {texts[one] for one in unique & texts.keys()} <= BYTEWISE
