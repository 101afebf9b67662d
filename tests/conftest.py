"""The suite's own broker and database, beside whatever else runs here; started when a test first needs them.

`SHOP_TEST_PORT_BASE` uses (and leaves running) what runs on that port base, for quick runs of single tests.
`SHOP_TEST_MYSQLD` and `SHOP_TEST_RABBITMQ_SERVER` name the programs to run, and `SHOP_TEST_AMQP_URL`,
`SHOP_TEST_MANAGEMENT_URL` and `SHOP_TEST_DATABASE_ADMIN_URL` servers that run elsewhere, for tests only: we
make databases and users there. What would stop or throttle such a server is skipped, and says so.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout
from tests.support.ports import reserve_base

KEPT = os.environ.get("SHOP_TEST_PORT_BASE")
PROGRAMS = ("SHOP_MYSQLD", "SHOP_RABBITMQ_SERVER")
ELSEWHERE = ("SHOP_AMQP_URL", "SHOP_MANAGEMENT_URL", "SHOP_DATABASE_ADMIN_URL")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What makes a test longer than a suite can bear."""
    parser.addoption(
        "--model-steps", type=int, help="so many steps of the model of payments, and its whole crowd"
    )


def pytest_configure() -> None:
    """Forget the settings of the terminal: the suite decides where and how its shop runs."""
    base = KEPT or str(reserve_base())
    for_us = {
        name: os.environ.get(name.replace("SHOP_", "SHOP_TEST_", 1)) for name in (*PROGRAMS, *ELSEWHERE)
    }
    for name in [name for name in os.environ if name.startswith("SHOP_")]:
        del os.environ[name]
    os.environ["SHOP_PORT_BASE"] = base
    os.environ["SHOP_RUN_DIR"] = str(Path(".run") / f"test-{base}")
    os.environ.update({name: value for name, value in for_us.items() if value})


@pytest.fixture(scope="session")
def servers() -> Iterator[Layout]:
    """A running broker and database of the suite's own."""
    at = fleet.infra(report=lambda _: None)
    yield at
    if not KEPT:
        fleet.reset()


@pytest.fixture(scope="session")
def own_broker(servers: Layout) -> Layout:
    """The suite's broker, where the suite itself runs it and so may stop it or change how it works."""
    if not servers.private_broker:
        pytest.skip(
            "the broker of SHOP_TEST_AMQP_URL runs elsewhere: it cannot be stopped or throttled from here"
        )
    return servers


@pytest.fixture(scope="session")
def own_database(servers: Layout) -> Layout:
    """The suite's database server, where the suite itself runs it and so may stop it."""
    if not servers.private_database:
        pytest.skip(
            "the database of SHOP_TEST_DATABASE_ADMIN_URL runs elsewhere: it cannot be stopped from here"
        )
    return servers


@pytest.fixture(scope="session")
def management(servers: Layout) -> Layout:
    """The suite's broker, where its management API is known."""
    if servers.management_url is None:
        pytest.skip("SHOP_TEST_MANAGEMENT_URL does not say where the broker's management API is")
    return servers
