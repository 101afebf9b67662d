"""The item service's database, empty before each test."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.layout import Layout
from item_svc.service import service
from shared.database.units import Database
from tests.support.databases import Heard, empty, fresh_database


@pytest.fixture(scope="module")
async def _database(servers: Layout) -> AsyncIterator[Database]:
    async with fresh_database("item_svc", service) as database:
        yield database


@pytest.fixture
async def db(_database: Database, heard: Heard) -> Database:
    """The service's database, with nothing in it."""
    await empty(_database)
    _database.publish_through(heard)
    return _database


@pytest.fixture
def heard() -> Heard:
    """What the service has told the others."""
    return Heard()
