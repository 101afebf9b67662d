"""The payment service's database, empty before each test, and a world around the service."""

import pytest

from payment_svc import pgs
from payment_svc.pgs import toss
from shared.database.units import Database
from tests.payment_svc.fake_pg import FakePg
from tests.payment_svc.world import World
from tests.support.databases import Heard
from tests.support.service_database import database_of, db, heard

__all__ = ["database", "db", "heard", "pg", "world"]

database = database_of("payment_svc")


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
