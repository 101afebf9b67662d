"""The benchmark's ground in the suite: the suite's broker and database, and a shop where it is asked for."""

import os
from collections.abc import Iterator

import pytest

from bench import usage
from bench.figures import Ledger
from bench.ground import Ground
from bench.run import Run
from deploy.local import fleet
from deploy.local.layout import Layout
from tests.conftest import KEPT

TINY = 10
"""So much smaller than `--quick`."""


@pytest.fixture
def bench(servers: Layout, monkeypatch: pytest.MonkeyPatch) -> Run:
    """One small run, with an empty ledger, which does not wait for a machine at rest: it measures nothing."""
    monkeypatch.setattr(usage, "QUIET_WITHIN_S", 0.0)
    ground = Ground(dict(os.environ), servers, ran_before=True, shop_is_ready=True)
    return Run(ground, Ledger(), rounds=1, quick=True, say=lambda _: None, part=TINY)


@pytest.fixture(scope="package")
def bench_shop(servers: Layout) -> Iterator[Layout]:
    """The shop, up and ready, as the benchmark sets it; its services go when this folder's tests are done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_ORDER_UNPAID_S", "0")
        patch.setenv("SHOP_ACCESS_TOKEN_S", "86400")
        at = fleet.up(report=lambda _: None)
        yield at
    if not KEPT:
        for service in at.services:
            fleet.stop(service.name)
