"""Which server programs are used, whose data they open, and what is told of one that cannot start."""

import json
import time
from pathlib import Path

import pytest

from deploy.databases import connect
from deploy.local import fleet
from deploy.local.engines import Engine, broker_engine, database_engine
from deploy.local.errors import FleetError
from deploy.local.layout import Layout, layout
from deploy.local.supervisor import Supervisor
from deploy.services import ROOT
from tests.fleet.conftest import Environ

PROMPT_S = 8.0
"""How long a refusal may take: the supervisor's own start, and three seconds on a busy machine."""


def _quiet(_: str) -> None:
    """Reports nothing."""


def _script(path: Path, *lines: str) -> Path:
    """A program of a few lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="utf-8")
    path.chmod(0o755)
    return path


def _database(path: Path, version: str, *then: str) -> Path:
    """A program that calls itself a database server."""
    says = f'case "$*" in *--version*) echo "{path} Ver {version}"; exit 0;; esac'
    return _script(path, says, *then)


def _broker(path: Path, version: str, *then: str) -> Path:
    """A program that calls itself a broker."""
    _script(path.with_name("rabbitmqctl"), f"echo {version}")
    return _script(path, *then)


@pytest.mark.parametrize(
    ("said", "product", "version"),
    [
        ("10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12)", "MariaDB", (10, 11)),
        ("11.8.9-MariaDB-ubu2404 for debian-linux-gnu", "MariaDB", (11, 8)),
        ("9.7.4-2 for Linux on x86_64 ((Debian))", "MySQL", (9, 7)),
        ("8.4.3 for macos14.7 on arm64 (Homebrew)", "MySQL", (8, 4)),
    ],
)
def test_a_database_server_says_what_it_is(
    tmp_path: Path, said: str, product: str, version: tuple[int, int]
) -> None:
    program = _database(tmp_path / "a folder" / "sqld", said)
    assert database_engine(str(program)) == Engine(product, version, program)


@pytest.mark.parametrize("folder", ["lib/rabbitmq_server-4.3.6", "plugins/rabbit-4.3.6"])
def test_a_brokers_version_is_read_in_its_folder(tmp_path: Path, folder: str) -> None:
    script = _script(tmp_path / "sbin" / "rabbitmq-server", "exit 1")
    (tmp_path / folder).mkdir(parents=True)
    assert broker_engine(str(script)) == Engine("RabbitMQ", (4, 3), script)


def test_a_brokers_version_is_asked_for_where_it_cannot_be_read(tmp_path: Path) -> None:
    script = _broker(tmp_path / "rabbitmq-server", "4.0.5")
    assert broker_engine(str(script)).version == (4, 0)


def test_what_a_wrapper_would_start_is_used_without_it(tmp_path: Path) -> None:
    real = _broker(tmp_path / "lib" / "rabbitmq-server", "3.10.8")
    wrapper = _script(tmp_path / "lib" / "rabbitmq-script-wrapper", "exit 1")
    (tmp_path / "rabbitmq-server").symlink_to(wrapper)
    assert broker_engine(str(tmp_path / "rabbitmq-server")).program == real


def test_a_name_is_looked_for_in_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _database(tmp_path / "mysqld-of-mine", "9.7.4")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert database_engine("mysqld-of-mine").program == program


@pytest.mark.parametrize("setting", ["SHOP_MYSQLD", "SHOP_RABBITMQ_SERVER"])
@pytest.mark.parametrize("value", ["/nowhere/at/all", "no-such-name", "README.md", "deploy", "/bin/true"])
def test_what_is_no_such_program_is_refused_with_what_is_allowed(
    private_fakes: Environ, setting: str, value: str
) -> None:
    allowed = "mariadbd" if setting == "SHOP_MYSQLD" else "rabbitmq-server"
    with pytest.raises(FleetError, match=f"{setting}[\\s\\S]* the path of {allowed}"):
        fleet.infra({**private_fakes, setting: value}, report=_quiet)
    assert fleet.ps(private_fakes) == []


@pytest.mark.parametrize(
    ("maker", "engine", "can"),
    [
        (("MariaDB", (10, 11)), ("MariaDB", (10, 11)), True),
        (("MariaDB", (10, 6)), ("MariaDB", (10, 11)), True),
        (("MariaDB", (10, 11)), ("MariaDB", (10, 6)), False),
        (("MariaDB", (10, 11)), ("MariaDB", (11, 8)), False),
        (("MariaDB", (10, 11)), ("MySQL", (10, 11)), False),
        (("MySQL", (8, 4)), ("MySQL", (9, 7)), False),
        (("MySQL", (9, 7)), ("MySQL", (8, 4)), False),
        (("RabbitMQ", (3, 10)), ("RabbitMQ", (4, 3)), False),
        (("RabbitMQ", (4, 0)), ("RabbitMQ", (4, 3)), True),
    ],
)
def test_who_may_open_whose_data(
    maker: tuple[str, tuple[int, int]], engine: tuple[str, tuple[int, int]], can: bool
) -> None:
    assert Engine(*engine, Path("/x")).can_open(Engine(*maker, Path("/y"))) is can


FOREIGN = [
    ("database", "SHOP_MYSQLD", {"product": "MySQL", "version": [9, 7]}, "MySQL 9.7"),
    ("broker", "SHOP_RABBITMQ_SERVER", {"product": "RabbitMQ", "version": [2, 8]}, "RabbitMQ 2.8"),
]


@pytest.mark.parametrize(("server", "setting", "maker", "named"), FOREIGN)
def test_data_of_another_server_are_refused_at_once_with_the_ways_out(
    private_fakes: Environ, tmp_path: Path, server: str, setting: str, maker: dict[str, object], named: str
) -> None:
    at = layout(private_fakes)
    data = at.run_dir / server / "data"
    data.mkdir(parents=True)
    program = _script(tmp_path / "theirs")
    note = json.dumps({**maker, "program": str(program)})
    (at.run_dir / server / "made-by.json").write_text(note, encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(FleetError) as told:
        fleet.infra(private_fakes, report=_quiet)
    assert time.monotonic() - began < PROMPT_S
    text = str(told.value)
    assert f"were made by {named} ({program})" in text
    for way_out in (f"{setting}={program} ./just up", "SHOP_RUN_DIR=", "./just reset"):
        assert way_out in text
    assert list(data.iterdir()) == []


def test_data_without_a_note_are_those_of_the_machines_own_program(
    private_fakes: Environ, tmp_path: Path
) -> None:
    """As an earlier day's run left them, when nothing else could be named."""
    (layout(private_fakes).run_dir / "database" / "data").mkdir(parents=True)
    other = _database(tmp_path / "sqld", "1.2.3")
    with pytest.raises(
        FleetError, match=f"made by {database_engine().product}.* MySQL 1.2 .*cannot use them"
    ):
        fleet.infra({**private_fakes, "SHOP_MYSQLD": str(other)}, report=_quiet)


def test_a_database_that_dies_at_start_is_told_at_once_and_not_tried_again(
    private_fakes: Environ, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    dying = _database(
        tmp_path / "sqld", "9.7.4", f'echo one >> "{starts}"', "echo the disk is on fire >&2", "exit 1"
    )
    (layout(private_fakes).run_dir / "database" / "data").mkdir(parents=True)
    (layout(private_fakes).run_dir / "database" / "made-by.json").write_text(
        json.dumps({"product": "MySQL", "version": [9, 7], "program": str(dying)}), encoding="utf-8"
    )
    environ = {**private_fakes, "SHOP_MYSQLD": str(dying)}
    began = time.monotonic()
    with pytest.raises(FleetError, match=r"the database died at start[\s\S]*the disk is on fire[\s\S]*reset"):
        fleet.infra(environ, report=_quiet)
    assert time.monotonic() - began < PROMPT_S
    tries = starts.read_text(encoding="utf-8").count("one")
    assert tries <= 3
    assert "database" not in Supervisor(layout(environ)).states()
    time.sleep(1.5)  # nothing must happen: three times the interval at which the supervisor looks
    assert starts.read_text(encoding="utf-8").count("one") == tries


def test_a_database_keeps_its_temporary_tables_to_itself(own_database: Layout) -> None:
    """One that starts deletes what an earlier one may have left there: another's, were it in /tmp."""
    with connect(own_database.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@tmpdir")
        assert cursor.fetchone() == (str(own_database.plain_dir / "database" / "tmp"),)


def test_a_broker_that_dies_at_start_is_told_and_leaves_its_dump_in_the_run_folder(
    private_fakes: Environ, tmp_path: Path
) -> None:
    """The real one, with a configuration that it cannot read."""
    broken = f'echo "listeners = nonsense" >> "$RABBITMQ_CONFIG_FILE"; exec "{broker_engine().program}" "$@"'
    version = ".".join(map(str, broker_engine().version))
    script = _broker(tmp_path / "rabbitmq-server", version, broken)
    environ = {**private_fakes, "SHOP_RABBITMQ_SERVER": str(script)}
    with pytest.raises(FleetError, match=r"the broker died at start\nthe end of"):
        fleet.infra(environ, report=_quiet)
    assert "broker" not in Supervisor(layout(environ)).states()
    assert not (ROOT / "erl_crash.dump").exists()
    at = fleet.up(private_fakes, report=_quiet)
    assert fleet.is_up(private_fakes)
    note = json.loads((at.run_dir / "broker" / "made-by.json").read_text(encoding="utf-8"))
    assert note["program"] == str(broker_engine().program)
    with pytest.raises(FleetError, match=r"first \./just down"):
        fleet.infra(environ, report=_quiet)
