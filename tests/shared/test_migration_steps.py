"""The statements of a migration: each once, in pauses between those who use its tables."""

import asyncio
from collections.abc import AsyncIterator

import aiomysql
import pymysql.err
import pytest

from shared import migration_steps
from shared.addresses import DATABASE, parse
from shared.database.connection import connection_options
from shared.migration_steps import Steps
from tests.shared.lab import Lab
from tests.support.held import rows_held

COLUMN = "ALTER TABLE marks ADD COLUMN shade INT NULL"


@pytest.fixture
async def connection(lab: Lab, url: str) -> AsyncIterator[aiomysql.Connection]:
    """A connection to a database whose tables may be changed; they are put right afterwards."""
    connection = await aiomysql.connect(**connection_options(parse(url, DATABASE)[0]))
    yield connection
    connection.close()
    if await lab.sql(url, "SHOW COLUMNS FROM marks LIKE 'shade'"):
        await lab.sql(url, "ALTER TABLE marks DROP COLUMN shade")
    await lab.sql(url, "DROP TABLE migration_steps")


async def _begin(connection: aiomysql.Connection, name: str = "0001") -> Steps:
    steps = Steps(connection)
    await steps.prepare()
    steps.take_up("tiny", name)
    return steps


async def test_a_change_of_a_table_waits_in_pauses_for_those_who_use_it(
    lab: Lab, url: str, connection: aiomysql.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migration_steps, "LOCK_WAIT_SECONDS", 1)
    await lab.sql(url, "INSERT INTO marks (`key`, text) VALUES ('a', '')")
    steps = await _begin(connection)
    async with rows_held(url, "SELECT id FROM marks"):
        changing = asyncio.create_task(steps.run(COLUMN))
        # Who comes after it need not wait until it has got what it waits for.
        for _ in range(2):
            async with asyncio.timeout(1.5):
                assert await lab.marks(url) == ["a"]
            await asyncio.sleep(0.3)
        assert not changing.done()
    async with asyncio.timeout(5):
        await changing
    assert await lab.sql(url, "SELECT shade FROM marks") == [(None,)]


async def test_a_migration_goes_on_behind_what_was_done(lab: Lab, url: str, connection: aiomysql.Connection):
    steps = await _begin(connection)
    await steps.run("INSERT INTO marks (`key`, text) VALUES ('first', '')")
    with pytest.raises(pymysql.err.MySQLError):
        await steps.run("INSERT INTO marks (`key`, text, unique_key) VALUES ('x', '', 'x'), ('y', '', 'x')")
    again = await _begin(connection)
    await again.run("INSERT INTO marks (`key`, text) VALUES ('first', '')")
    await again.run("INSERT INTO marks (`key`, text) VALUES ('second', '')")
    await again.run(COLUMN)
    assert await lab.marks(url) == ["first", "second"]
    assert await lab.sql(url, "SELECT begun, done FROM migration_steps") == [(3, 3)]


async def test_what_is_there_already_is_an_error_unless_a_run_broke_off_there(
    lab: Lab, url: str, connection: aiomysql.Connection
):
    await lab.sql(url, COLUMN)
    steps = await _begin(connection)
    with pytest.raises(pymysql.err.MySQLError, match="Duplicate column"):
        await steps.run(COLUMN)
    steps = await _begin(connection)
    with pytest.raises(pymysql.err.MySQLError, match="Duplicate column"):
        await steps.run(COLUMN)
    await lab.sql(url, "UPDATE migration_steps SET begun = 1")  # and then it was killed
    steps = await _begin(connection)
    await steps.run(COLUMN)
    await steps.run("INSERT INTO marks (`key`, text, shade) VALUES ('a', '', 7)")
