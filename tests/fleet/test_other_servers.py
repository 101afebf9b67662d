"""`./just engines`: what may be chosen, and the scripts through which fetched programs are called."""

import subprocess
from pathlib import Path

import pytest

from deploy import debian
from deploy.databases import connect
from deploy.engines import packages
from deploy.engines.__main__ import main
from deploy.engines.catalogue import SERVERS, chosen
from deploy.local import fleet
from deploy.local.engines import database_engine
from deploy.local.errors import FleetError
from tests.fleet.conftest import Environ


def _quiet(_: str) -> None:
    """Reports nothing."""


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["postgres"], "'postgres' is no server that can be fetched; choose of mysql, mariadb-11,"),
        (["mysql", "mariadb-11"], "one database and one broker"),
        (["rabbitmq-4.0", "rabbitmq-4.3"], "one database and one broker"),
        (["mysql", "mysql"], "one database and one broker"),
    ],
)
def test_what_cannot_be_run_together_is_refused(names: list[str], why: str) -> None:
    with pytest.raises(FleetError, match=why):
        chosen(names)


@pytest.mark.parametrize("names", [[], ["mysql"], ["rabbitmq-4.3", "mariadb-11"]])
def test_a_database_a_broker_or_both_are_chosen(names: list[str]) -> None:
    assert [server.name for server in chosen(names)] == names


def test_without_a_name_the_servers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(server.name in said for server in SERVERS)


def test_a_replay_needs_orders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mysql", "--steps", "replay"]) == 2
    assert "--csv FILE" in capsys.readouterr().err


def test_a_machine_without_apt_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FleetError, match="this machine has none"):
        debian.mirror()


def test_a_database_as_its_maker_ships_it_has_defaults_of_its_own(private_fakes: Environ) -> None:
    """And what we need of it all the same: it is durable, and listens where it is looked for."""
    at = fleet.infra({**private_fakes, "SHOP_DATABASE_AS_SHIPPED": "1"}, report=_quiet)
    with connect(at.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT @@innodb_flush_log_at_trx_commit, @@global.time_zone, @@global.innodb_lock_wait_timeout"
        )
        assert cursor.fetchone() == (1, "SYSTEM", 50)


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_each_server_can_be_fetched_and_says_what_it_is(server: packages.Server) -> None:
    packages.fetch(server)
    program = packages.program(server)
    if server.packages[0] == "rabbitmq-server":
        said = subprocess.run(
            [program.with_name("rabbitmqctl"), "version"], capture_output=True, text=True, check=True
        ).stdout
        assert said.strip().startswith(server.name.removeprefix("rabbitmq-"))
    else:
        assert database_engine(str(program)).version >= ((11, 8) if "mariadb" in server.name else (8, 4))
