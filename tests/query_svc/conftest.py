"""The query service's database, with an empty store before each test."""

import pytest

from shared.database.units import Database
from tests.support.databases import empty
from tests.support.service_database import database_of

database = database_of("query_svc")


@pytest.fixture
async def db(database: Database) -> Database:
    """The service's database, with nothing in it but the head of an empty store."""
    await empty(database)
    await database.execute("INSERT INTO event_store_head (id, position, folded, wiping) VALUES (1, 0, 0, 0)")
    return database
