"""The payment service's database, empty before each test, and a world around the service."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.layout import Layout
from payment_svc import pgs
from payment_svc.pgs import toss
from payment_svc.service import service
from shared.database.units import Database
from tests.payment.fake_pg import FakePg
from tests.payment.world import World
from tests.support.databases import Heard, empty, fresh_database


@pytest.fixture(scope="package")
async def _database(servers: Layout) -> AsyncIterator[Database]:
    async with fresh_database("payment_svc", service) as database:
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
def pg() -> FakePg:
    """The gateway."""
    return FakePg()


@pytest.fixture
def world(db: Database, heard: Heard, pg: FakePg, monkeypatch: pytest.MonkeyPatch) -> World:
    """The payment service with its database, a gateway and a stand-in for the order service."""
    adapter = toss.Toss("http://pg.test", "secret", timeout_s=0.2, tries=2, transport=pg)
    monkeypatch.setattr(toss, "PAUSE_S", 0.0)
    monkeypatch.setattr(pgs, "adapter", lambda _: adapter)
    return World(db, heard, pg)
