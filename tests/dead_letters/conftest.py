"""The query service's database, empty before each test, and the broker as tests of the platform use it."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.layout import Layout
from query_svc.service import service
from shared.database.units import Database
from tests.shared.conftest import _connection, _template, channel, lab, url
from tests.support.databases import empty, fresh_database

__all__ = ["_connection", "_template", "channel", "lab", "url"]


@pytest.fixture(scope="package")
async def _database(servers: Layout) -> AsyncIterator[Database]:
    async with fresh_database("query_svc", service) as database:
        yield database


@pytest.fixture
async def db(_database: Database) -> Database:
    """The service's database, with nothing in it."""
    await empty(_database)
    return _database
