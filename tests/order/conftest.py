"""The order service's database, empty before each test, and its outbox."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from deploy.local.layout import Layout
from order_svc.service import service
from shared.clock import utc_now
from shared.database.units import Database
from shared.events.outbox import Outbox
from tests.support.databases import Heard, empty, fresh_database


@pytest.fixture(scope="package")
async def _database(servers: Layout) -> AsyncIterator[Database]:
    async with fresh_database("order_svc", service) as database:
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


@pytest.fixture
def outbox(db: Database) -> Outbox:
    """The order service's outbox, connected long ago; nothing waits in it."""
    outbox = Outbox("order", db)
    outbox.connected_since = utc_now() - timedelta(hours=1)
    return outbox
