"""A whole shop for the tests of this folder: every service as a process of its own, reached by HTTP alone."""

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL
from ops.demo.stage import Stage
from ops.shop import Shop, persist
from tests.conftest import KEPT

# Deadlines and pauses that a test can wait for, and passwords that cost nothing.
QUICK = {
    "SHOP_ORDER_DEADLINE_S": "4",
    "SHOP_ORDER_RELEASE_AGAIN_S": "2",
    "SHOP_RETRY_DELAYS_S": "0.3,0.6,1",
    "SHOP_OUTBOX_GRACE_S": "1",
    "SHOP_OUTBOX_POLL_S": "0.3",
    "SHOP_OUTBOX_LEASE_S": "4",
    "SHOP_BREAKER_OPEN_S": "1",
    "SHOP_ARGON2_MEMORY_KIB": "64",
    "SHOP_ARGON2_PASSES": "1",
}


@pytest.fixture(scope="package")
def shop(servers: Layout) -> Iterator[Layout]:
    """The shop, up and ready, with deadlines of a few seconds.

    Its services go when this folder's tests are done; broker and database stay for the tests that follow.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        at = fleet.up(report=lambda _: None)
    yield at
    if not KEPT:
        for service in at.services:
            fleet.stop(service.name)


@pytest.fixture(scope="package")
async def stage(shop: Layout) -> AsyncIterator[Stage]:
    """Makes buyers, items and coupons that nobody else uses."""
    async with Shop(shop.gateway_url) as door:
        admin = await persist(lambda: door.sign_in(ADMIN_EMAIL, "sagamart-admin"))
        yield Stage(door, admin, shop.outside_url("pg"))
