"""Both services' databases, one clock for both, and the loop that the model runs its handlers on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from deploy.local.layout import Layout
from order_svc.service import service as order_service
from payment_svc import cards, events, pgs
from shared.database import transaction
from shared.database.units import Database
from tests.payment_svc.model.clock import Clock
from tests.payment_svc.model.numbers import Numbers
from tests.payment_svc.model.world import World
from tests.support.databases import fresh_database


class Worlds(Protocol):
    """Makes worlds, one after the other: the handlers know the time, the PG and the numbers of the newest."""

    def __call__(self, clock: Clock | None = None) -> World:
        """A world whose time stands still until it is moved, or goes as `clock` does."""
        ...


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long form takes its time."""
    if config.getoption("--model-steps"):
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="module")
async def order_db(servers: Layout) -> AsyncIterator[Database]:
    """The order service's database."""
    async with fresh_database("order_svc", order_service) as database:
        yield database


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """The loop of the databases' connections."""
    return asyncio.get_running_loop()


@pytest.fixture
def worlds(db: Database, order_db: Database, monkeypatch: pytest.MonkeyPatch) -> Worlds:
    """See `Worlds`."""

    def make(clock: Clock | None = None) -> World:
        clock, numbers = clock or Clock(), Numbers()
        world = World(db, order_db, clock)
        monkeypatch.setattr(transaction, "utc_now", clock.read)
        monkeypatch.setattr(cards, "utc_now", clock.read)
        monkeypatch.setattr(cards, "log", world.complaints)
        monkeypatch.setattr(events, "new_id", numbers.new)
        monkeypatch.setattr(pgs, "adapter", lambda _: world.pg)
        return world

    return make


@pytest.fixture
def model_steps(request: pytest.FixtureRequest) -> int | None:
    """How many steps the long form of the model makes; None in the suite."""
    return request.config.getoption("--model-steps")
