"""The suite's own broker and database, beside whatever else runs here; started when a test first needs them.

`SHOP_TEST_PORT_BASE` uses (and leaves running) what runs on that port base, for quick runs of single tests.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout

KEPT = os.environ.get("SHOP_TEST_PORT_BASE")
PORTS_LOOKED_AT = (0, 1, 10, 20, 30, 40, 50, 60, 70, 71, 72, 73, 74, 75, 77, 78)


def pytest_configure() -> None:
    """Forget the settings of the terminal: the suite decides where and how its shop runs."""
    base = KEPT or str(_free_base())
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


def _free_base() -> int:
    for base in range(20000, 32000, 100):
        if all(_is_free(base + offset) for offset in PORTS_LOOKED_AT):
            return base
    raise pytest.UsageError("no free block of ports between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
