"""The order service's database, empty before each test, and its outbox."""

from datetime import timedelta

import pytest

from shared.clock import utc_now
from shared.database.units import Database
from shared.events.outbox import Outbox
from tests.support.service_database import database_of, db, heard

__all__ = ["database", "db", "heard", "outbox"]

database = database_of("order_svc")


@pytest.fixture
def outbox(db: Database) -> Outbox:
    """The order service's outbox, connected long ago; nothing waits in it."""
    outbox = Outbox("order", db)
    outbox.connected_since = utc_now() - timedelta(hours=1)
    return outbox
