"""The query service's database, with an empty store before each test."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.layout import Layout
from query_svc.service import service
from shared.database.units import Database
from tests.support.databases import empty, fresh_database


@pytest.fixture(scope="module")
async def _database(servers: Layout) -> AsyncIterator[Database]:
    async with fresh_database("query_svc", service) as database:
        yield database


@pytest.fixture
async def db(_database: Database) -> Database:
    """The service's database, with nothing in it but the head of an empty store."""
    await empty(_database)
    await _database.execute("INSERT INTO event_store_head (id, position, folded, wiping) VALUES (1, 0, 0, 0)")
    return _database
