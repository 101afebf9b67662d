"""A fleet of fake services under the real supervisor: start, scale, die, restart, heal, stop."""

import contextlib
import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator

import psutil
import pymysql
import pytest

from deploy.databases import connect
from deploy.grants import grant_reading
from deploy.local import broker, fleet, logs
from deploy.local.errors import FleetError
from deploy.local.layout import Layout, layout
from deploy.local.processes import owned
from tests.fleet.conftest import Environ


def _settings(environ: Environ, offset: int) -> dict[str, str]:
    port = int(environ["SHOP_PORT_BASE"]) + offset
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return json.loads(answer.read())


def _pids(environ: Environ) -> dict[str, int | None]:
    return {process.name: process.pid for process in fleet.ps(environ)}


def _quiet(_: str) -> None:
    """Reports nothing."""


def test_from_up_to_down(fakes: Environ) -> None:
    assert fleet.ps(fakes) == []
    fleet.up(fakes, report=_quiet)
    assert fleet.is_up(fakes)
    found = {process.name: process for process in fleet.ps(fakes)}
    assert list(found) == ["order-1", "gateway-1"]
    assert all(process.ready and process.memory_bytes > 0 for process in found.values())
    assert _settings(fakes, 0)["SHOP_SERVICE_PORT"] == str(found["gateway-1"].port)
    before = _pids(fakes)
    fleet.up(fakes, report=_quiet)
    assert _pids(fakes) == before
    fleet.down(fakes)
    assert fleet.ps(fakes) == []
    assert owned(layout(fakes)) == []
    fleet.down(fakes)


def test_scale_keeps_those_that_stay(fakes: Environ) -> None:
    fleet.up(fakes, report=_quiet)
    first = _pids(fakes)["order-1"]
    fleet.scale("order", 3, fakes)
    assert [_settings(fakes, 40 + k)["SHOP_INSTANCE"] for k in range(3)] == ["1", "2", "3"]
    fleet.up(fakes, report=_quiet)
    assert "order-3" in _pids(fakes)
    fleet.scale("order", 2, fakes)
    assert list(_pids(fakes)) == ["order-1", "order-2", "gateway-1"]
    assert _pids(fakes)["order-1"] == first
    for wrong in (0, 10):
        with pytest.raises(FleetError, match="1 to 9"):
            fleet.scale("order", wrong, fakes)


def test_the_dead_return_and_the_stopped_stay_away(fakes: Environ) -> None:
    fleet.up(fakes, report=_quiet)
    killed = fleet.kill("order", 1, signal.SIGKILL, fakes)
    deadline = time.monotonic() + 10
    while _pids(fakes)["order-1"] in (killed, None) and time.monotonic() < deadline:
        time.sleep(0.1)  # between two looks
    fleet.await_ready("order", fakes)
    assert _pids(fakes)["order-1"] != killed
    fleet.stop("order", fakes)
    time.sleep(2)  # nothing must happen: twice the time in which the supervisor would have restarted it
    states = {process.name: process.state for process in fleet.ps(fakes)}
    assert states == {"order-1": "stopped", "gateway-1": "ready"}
    assert not fleet.is_up(fakes)
    fleet.start("order", fakes)
    assert fleet.is_up(fakes)
    with pytest.raises(FleetError, match="there is no service 'oder'"):
        fleet.stop("oder", fakes)


def test_settings_reach_the_services_and_last(fakes: Environ) -> None:
    fleet.up({**fakes, "SHOP_ORDER_DEADLINE_S": "3"}, report=_quiet)
    gateway = _pids(fakes)["gateway-1"]
    fleet.restart("order", fakes)
    fleet.up(fakes, keep_settings=True, report=_quiet)
    assert _settings(fakes, 40)["SHOP_ORDER_DEADLINE_S"] == "3"
    assert _pids(fakes)["gateway-1"] == gateway
    fleet.restart("order", fakes, settings={"SHOP_ORDER_DEADLINE_S": "4"})
    assert _settings(fakes, 40)["SHOP_ORDER_DEADLINE_S"] == "4"
    fleet.up(fakes, report=_quiet)
    assert "SHOP_ORDER_DEADLINE_S" not in _settings(fakes, 40)


def test_a_service_that_cannot_start_is_told_with_its_log(fakes: Environ) -> None:
    with pytest.raises(FleetError, match=r"(order|gateway)-1 dies at start[\s\S]*SHOP_REFUSE"):
        fleet.up({**fakes, "SHOP_REFUSE": "1"}, report=_quiet)
    fleet.up(fakes, report=_quiet)
    assert fleet.is_up(fakes)


def test_logs_hold_both_outputs(fakes: Environ, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.up(fakes, report=_quiet)
    fleet.scale("order", 2, fakes)
    logs.show(layout(fakes), "order", lines=10, follow=False)
    shown = capsys.readouterr().out
    assert "order-1 | " in shown
    assert "order-2 | " in shown
    assert "a line on the other output" in shown
    with pytest.raises(FleetError, match="there are: "):
        logs.show(layout(fakes), "nobody", lines=10, follow=False)


def test_a_port_in_use_is_named_before_anything_starts(fakes: Environ) -> None:
    base = int(fakes["SHOP_PORT_BASE"])
    with socket.create_server(("127.0.0.1", base)), pytest.raises(FleetError) as told:
        fleet.up(fakes, report=_quiet)
    assert f"port {base}, needed for the public door, is in use" in str(told.value)
    assert "SHOP_PORT_BASE=" in str(told.value)
    assert fleet.ps(fakes) == []


def test_another_port_base_in_the_same_folder_is_refused(fakes: Environ) -> None:
    fleet.up(fakes, report=_quiet)
    with pytest.raises(FleetError, match=f"SHOP_PORT_BASE={fakes['SHOP_PORT_BASE']}"):
        fleet.ps({**fakes, "SHOP_PORT_BASE": "61000"})


@pytest.fixture
def stranger(private_fakes: Environ) -> Iterator[int]:
    """A process of somebody else on a port that we need."""
    port = layout(private_fakes).database_port
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_a_stranger_on_the_databases_port_is_left_alone(private_fakes: Environ, stranger: int) -> None:
    with pytest.raises(FleetError, match=f"port {stranger}, needed for the database, is in use"):
        fleet.infra(private_fakes, report=_quiet)


def test_private_servers_keep_data_heal_and_leave_nothing(private_fakes: Environ) -> None:
    """In a folder with an odd name: a quote, a space and a hash have each stopped some server or script."""
    at = fleet.up(private_fakes, report=_quiet)
    with connect(at.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE kept")
        cursor.execute("SELECT @@time_zone, @@innodb_flush_log_at_trx_commit")
        assert cursor.fetchone() == ("+00:00", 1)
        # MySQL calls it transaction_isolation, MariaDB before 11.1 tx_isolation.
        cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')")
        assert {value for _, value in cursor.fetchall()} == {"READ-COMMITTED"}
    assert [process.name for process in fleet.ps(private_fakes)][:2] == ["database", "broker"]

    # As after a power cut, but for epmd, which outlives its broker: every process dies at once.
    everything = owned(at)
    for process in everything:
        with contextlib.suppress(psutil.NoSuchProcess):  # the broker's helpers go with it
            if process.name() != "epmd":
                process.kill()
    deadline = time.monotonic() + 10
    while len(owned(at)) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)  # between two looks
    assert fleet.ps(private_fakes) == []
    fleet.up(private_fakes, report=_quiet)
    assert fleet.is_up(private_fakes)
    with connect(at.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE 'kept'")
        assert cursor.fetchone() == ("kept",)

    fleet.stop("broker", private_fakes)
    assert not broker.is_ready(at)
    fleet.start("broker", private_fakes)
    assert broker.is_ready(at)
    fleet.kill("database", environ=private_fakes)
    fleet.await_ready("database", private_fakes)

    # Only the supervisor dies: broker, database and services are orphans that hold every port.
    supervisor = next(process for process in owned(at) if "circus.circusd" in process.cmdline())
    supervisor.kill()
    supervisor.wait(10)
    fleet.up(private_fakes, report=_quiet)
    assert fleet.is_up(private_fakes)
    fleet.down(private_fakes)
    assert owned(at) == []
    fleet.reset(private_fakes)
    assert not at.run_dir.exists()


def test_each_service_reaches_its_own_database_alone(servers: Layout) -> None:
    """Own rows yes, own tables no, a neighbour's neither; `verify` reads what it is granted, no more."""
    order, item = servers.service("order"), servers.service("item")
    assert order.database
    denied = pytest.raises(pymysql.err.OperationalError, match="denied")
    with connect(servers.admin_url) as connection, connection.cursor() as admin:
        admin.execute(f"CREATE TABLE {order.database}.fleet_probe (id INT PRIMARY KEY, hidden INT)")
        try:
            with connect(servers.database_url(order) or "") as own, own.cursor() as cursor:
                cursor.execute("INSERT INTO fleet_probe VALUES (1, 2)")
                for refused in (
                    f"SELECT 1 FROM {item.database}.fleet_probe",
                    "DROP TABLE fleet_probe",
                    "CREATE TABLE another (id INT)",
                    "TRUNCATE fleet_probe",
                ):
                    with denied:
                        cursor.execute(refused)
            grant_reading(admin, order.database, {"fleet_probe": {"hidden"}})
            with connect(servers.verify_url) as reader, reader.cursor() as cursor:
                cursor.execute(f"SELECT COUNT(*), MAX(id) FROM {order.database}.fleet_probe")
                assert cursor.fetchone() == (1, 1)
                for refused in (
                    f"SELECT hidden FROM {order.database}.fleet_probe",
                    f"SELECT * FROM {order.database}.fleet_probe",
                    f"DELETE FROM {order.database}.fleet_probe",
                ):
                    with denied:
                        cursor.execute(refused)
        finally:
            admin.execute(f"DROP TABLE {order.database}.fleet_probe")
