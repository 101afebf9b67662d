"""The suite's own broker and database, beside whatever else runs here; started when a test first needs them.

The whole suite is shared out between two workers, each with servers of its own; a part of it runs in one
process.

`SHOP_TEST_PORT_BASE` uses (and leaves running) what runs on that port base, for quick runs of single tests.
`SHOP_TEST_MYSQLD` and `SHOP_TEST_RABBITMQ_SERVER` name the programs to run, and `SHOP_TEST_AMQP_URL`,
`SHOP_TEST_MANAGEMENT_URL` and `SHOP_TEST_DATABASE_ADMIN_URL` servers that run elsewhere, for tests only: we
make databases and users there. What would stop or throttle such a server is skipped, and says so.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout
from ops.commands import ADMIN_EMAIL
from ops.demo.stage import Stage
from ops.shop import Shop, persist
from tests.support.ports import reserve_base
from tests.support.sharing import ByGroup, in_order, mark_by_need, split_long

KEPT = os.environ.get("SHOP_TEST_PORT_BASE")
PROGRAMS = ("SHOP_MYSQLD", "SHOP_DATABASE_AS_SHIPPED", "SHOP_RABBITMQ_SERVER")
ELSEWHERE = ("SHOP_AMQP_URL", "SHOP_MANAGEMENT_URL", "SHOP_DATABASE_ADMIN_URL")
FOR_US = {
    name: value
    for name in (*PROGRAMS, *ELSEWHERE)
    if (value := os.environ.get(name.replace("SHOP_", "SHOP_TEST_", 1)))
}
WORKERS = 2

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

LEFT_OUT = "long tests left out"
_left_out = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What makes a test longer than a suite can bear."""
    parser.addoption(
        "--model-steps", type=int, help="so many steps of the model of payments, and its whole crowd"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes share the tests: one where only some were asked for, or where servers are given."""
    asked = config.args_source is not config.ArgsSource.TESTPATHS or config.option.keyword
    given = KEPT or any(name in FOR_US for name in ELSEWHERE)
    return 0 if asked or given else WORKERS


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup:
    """Who of the workers does what."""
    return ByGroup(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Forget the settings of the terminal: the suite decides where and how its shop runs."""
    if config.option.numprocesses:
        return  # the workers do
    for name in [name for name in os.environ if name.startswith("SHOP_")]:
        del os.environ[name]
    base = KEPT or str(reserve_base())
    os.environ["SHOP_PORT_BASE"] = base
    os.environ["SHOP_RUN_DIR"] = str(Path(".run") / f"test-{base}")
    os.environ["SHOP_SECRET_KEY_FILE"] = str(Path(__file__).parent / "support" / "secret-key")
    os.environ.update(FOR_US)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark and order the tests, and leave the long ones out where nobody asked for them."""
    mark_by_need(items)
    items[:] = in_order(items)
    if "long" not in config.option.markexpr:
        items[:], long = split_long(items)
        config.hook.pytest_deselected(items=long)
        config.stash[_left_out] = len(long)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it has left out; every worker sees all tests."""
    if hasattr(session.config, "workeroutput"):
        cast(Any, session.config).workeroutput[LEFT_OUT] = session.config.stash.get(_left_out, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it from a worker; one that died tells nothing."""
    node.config.stash[_left_out] = getattr(node, "workeroutput", {}).get(LEFT_OUT, 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out."""
    if left_out := config.stash.get(_left_out, 0):
        terminalreporter.write_line(f"{left_out} long tests were left out: ./just test-long runs them")


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


@pytest.fixture(scope="session")
def shop(servers: Layout) -> Iterator[Layout]:
    """The whole shop, up and ready: every service as a process of its own, with deadlines of a few seconds.

    There is one for all tests that need it, and whoever stops something in it starts it again.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        at = fleet.up(report=lambda _: None)
    yield at
    if not KEPT:
        for service in at.services:
            fleet.stop(service.name)


@pytest.fixture(scope="session")
async def stage(shop: Layout) -> AsyncIterator[Stage]:
    """Makes buyers, items and coupons that nobody else uses."""
    async with Shop(shop.gateway_url) as door:
        admin = await persist(lambda: door.sign_in(ADMIN_EMAIL, "sagamart-admin"))
        yield Stage(door, admin, shop.outside_url("pg"))
