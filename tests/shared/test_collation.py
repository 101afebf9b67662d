"""Tables adopt our collation without losing anything; connections have it whatever the server says."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiomysql
import pytest
from tortoise import Tortoise
from tortoise.connection import get_connection

from deploy.databases import connect
from deploy.local.layout import Layout
from ops.databases import reading
from shared.addresses import DATABASE, parse
from shared.collation import COLLATION, adopt
from shared.database.connection import connection_options
from shared.database.orm import orm_config
from shared.database.units import Database
from tests.shared.lab import Lab, unique

FOREIGN = "utf8mb4_general_ci"
OLD_TABLE = f"""
CREATE TABLE old (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    address VARCHAR(254) NOT NULL DEFAULT 'it''s `odd`, (very)' COMMENT 'As it is compared, COLLATE nobody',
    kind VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'ours',
    exact_name VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    state VARCHAR(10) NOT NULL DEFAULT 'NEW',
    note TEXT NULL,
    amount DECIMAL(38, 0) NOT NULL DEFAULT 0,
    at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE KEY address (address),
    KEY state (state, id),
    CONSTRAINT old_is_fine CHECK (state <> 'BAD' OR note IS NOT NULL)
) CHARACTER SET utf8mb4 COLLATE {FOREIGN} COMMENT='An old one'
"""


@pytest.fixture
async def foreign(lab: Lab) -> AsyncIterator[str]:
    """A database as another server would make it."""
    name = unique("test_foreign_")
    await lab.sql("", f"CREATE DATABASE {name} COLLATE {FOREIGN}")
    yield f"{lab.at.admin_url.rstrip('/')}/{name}"
    await lab.sql("", f"DROP DATABASE {name}")


async def _adopt(url: str) -> list[str]:
    async with (
        aiomysql.connect(**connection_options(parse(url, DATABASE)[0])) as connection,
        connection.cursor() as cursor,
    ):
        return await adopt(cursor)


async def _texts(lab: Lab, url: str) -> dict[str, str]:
    return dict(
        await lab.sql(
            url,
            "SELECT column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'old' AND collation_name IS NOT NULL",
        )
    )


async def _definitions(lab: Lab, url: str) -> list[tuple[Any, ...]]:
    """Of the columns, all but how they compare."""
    return await lab.sql(
        url,
        "SELECT column_name, column_default, is_nullable, column_type, column_key, extra, column_comment"
        " FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'old'"
        " ORDER BY ordinal_position",
    )


async def test_an_old_table_adopts_it_and_stays_as_it_was_otherwise(lab: Lab, foreign: str) -> None:
    await lab.sql(foreign, OLD_TABLE)
    # Different to the old collation, the same to ours: as a key they must stay two.
    for address in ("straße@example.com", "strasse@example.com"):
        await lab.sql(foreign, "INSERT INTO old (address, kind, note) VALUES (%s, 'a', 'é')", [address])
    before = await _definitions(lab, foreign)
    rows = await lab.sql(foreign, "SELECT * FROM old ORDER BY id")

    assert await _adopt(foreign) == ["old"]
    assert await _texts(lab, foreign) == {
        "address": "utf8mb4_bin",
        "kind": "ascii_bin",
        "exact_name": "utf8mb4_bin",
        "state": COLLATION,
        "note": COLLATION,
    }
    assert await _definitions(lab, foreign) == before
    assert await lab.sql(foreign, "SELECT * FROM old ORDER BY id") == rows
    [(_, created)] = await lab.sql(foreign, "SHOW CREATE TABLE old")
    assert "An old one" in created
    assert "old_is_fine" in created

    assert await _adopt(foreign) == []


async def test_what_a_migration_makes_by_hand_adopts_it_as_well(lab: Lab, foreign: str) -> None:
    await lab.sql(foreign, OLD_TABLE)
    await _adopt(foreign)
    await lab.sql(foreign, "ALTER TABLE old ADD COLUMN later VARCHAR(10) COLLATE utf8mb4_general_ci NULL")
    assert await _adopt(foreign) == ["old"]
    assert (await _texts(lab, foreign))["later"] == COLLATION


async def test_letters_beyond_the_first_plane_are_told_apart_and_cases_are_not(db: Database) -> None:
    compared = await db.read(lambda reader: reader.row("SELECT %s = %s, %s = %s", ["🍎", "🍐", "É", "é"]))
    assert compared == (0, 1)


NAMES = (
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results,"
    " @@collation_connection"
)
OURS = ("utf8mb4", "utf8mb4", "utf8mb4", COLLATION)


@pytest.fixture
def hostile(servers: Layout) -> Iterator[str]:
    """The URL of one whose connections the server has speak another character set from the start."""
    with connect(servers.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@init_connect")
        row = cursor.fetchone()
        cursor.execute("SET GLOBAL init_connect = 'SET NAMES gbk'")
        try:
            yield servers.database_url(servers.service("order")) or ""
        finally:
            cursor.execute("SET GLOBAL init_connect = %s", row)


async def test_services_say_their_character_set(hostile: str) -> None:
    db = Database(hostile, pool=1)
    await db.open()
    try:
        assert await db.read(lambda reader: reader.row(NAMES)) == OURS
        isolation = await db.read(
            # MySQL calls it transaction_isolation, MariaDB before 11.1 tx_isolation.
            lambda reader: reader.rows(
                "SHOW VARIABLES WHERE Variable_name LIKE 't%%x%%_isolation' OR"
                " Variable_name = 'transaction_isolation'"
            )
        )
        assert {value for _, value in isolation} == {"READ-COMMITTED"}
        # In GBK the first two bytes are one letter, and the quote behind them ends the text.
        texts = ["뼧' OR 1 = 1 -- ", "\N{HANGUL SYLLABLE GAG}\\'"]
        assert await db.read(lambda reader: reader.row("SELECT %s, %s", texts)) == tuple(texts)
    finally:
        await db.close()


async def test_migrations_say_it(hostile: str) -> None:
    await Tortoise.init(
        config=orm_config(parse(hostile, DATABASE)[0], {"service": (["tests.shared.tiny.models"], None)})
    )
    try:
        _, [row] = await get_connection("default").execute_query(NAMES)
        assert tuple(row.values()) == OURS
    finally:
        await Tortoise.close_connections()


async def test_tools_say_it(hostile: str) -> None:
    async with reading(hostile) as query:
        [row] = await query(NAMES, ())
        assert tuple(row.values()) == OURS
    with connect(hostile) as connection, connection.cursor() as cursor:
        cursor.execute(NAMES)
        assert cursor.fetchone() == OURS
