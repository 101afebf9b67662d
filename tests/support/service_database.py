"""The database of one service for the tests of one folder: made once, empty before each test.

A folder's conftest says whose it is, and takes the rest from here:

    from tests.support.service_database import database_of, db, heard

    __all__ = ["database", "db", "heard"]

    database = database_of("item_svc")
"""

import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.local.layout import Layout
from shared.database.units import Database
from tests.support.databases import Heard, empty, fresh_database


def database_of(package: str) -> Any:
    """A fixture for the tests of a folder: the migrated database of a service, such as `item_svc`."""

    @pytest.fixture(scope="package")
    async def database(servers: Layout) -> AsyncIterator[Database]:
        service = importlib.import_module(f"{package}.service").service
        async with fresh_database(package, service) as opened:
            yield opened

    return database


@pytest.fixture
def heard() -> Heard:
    """What the service has told the others."""
    return Heard()


@pytest.fixture
async def db(database: Database, heard: Heard) -> Database:
    """The service's database, with nothing in it; what its transactions emit is `heard`."""
    await empty(database)
    database.publish_through(heard)
    return database
