"""The suite's own broker and database, beside whatever else runs here; started when a test first needs them.

`SHOP_TEST_PORT_BASE` uses (and leaves running) what runs on that port base, for quick runs of single tests.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout
from tests.support.ports import reserve_base

KEPT = os.environ.get("SHOP_TEST_PORT_BASE")


def pytest_configure() -> None:
    """Forget the settings of the terminal: the suite decides where and how its shop runs."""
    base = KEPT or str(reserve_base(20000, 32000))
    for name in [name for name in os.environ if name.startswith("SHOP_")]:
        del os.environ[name]
    os.environ["SHOP_PORT_BASE"] = base
    os.environ["SHOP_RUN_DIR"] = str(Path(".run") / f"test-{base}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Layout]:
    """A running broker and database of the suite's own."""
    at = fleet.infra(report=lambda _: None)
    yield at
    if not KEPT:
        fleet.reset()
