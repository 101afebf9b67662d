"""The private MariaDB or MySQL: own port, data and log, on loopback alone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pymysql

from deploy.databases import connect, url_as
from deploy.local.binaries import which
from deploy.local.engines import Engine, database_engine, sign
from deploy.local.errors import FleetError
from deploy.local.layout import HOST, Layout
from deploy.local.program import Program
from deploy.secrets import keep
from shared.collation import COLLATION

NAME = "database"

_ACCESS_DENIED = 1045
_OLD_PASSWORD = "sagamart"  # noqa: S105  of every local run, before each made its own

_NO_FILES = "secure-file-priv=NULL"
"""MySQL does not start where the folder that was compiled into it for files of statements is missing."""


_PREFERENCES = (
    "character-set-server = utf8mb4",
    f"collation-server = {COLLATION}",
    "transaction-isolation = READ-COMMITTED",
    "default-time-zone = '+00:00'",
    "skip-log-bin",
    "innodb-buffer-pool-size = 256M",
    "innodb-lock-wait-timeout = 10",
    "performance-schema = OFF",
)
"""What suits a local run. Nothing depends on it: services say what they need on their connections."""


def prepare(at: Layout) -> Program:
    """Make the data folder if there is none, write the configuration, say how to start the database."""
    engine = database_engine(at.database_program)
    home = at.plain_dir / NAME
    home.mkdir(parents=True, exist_ok=True)
    if not data_of(at).exists():
        _initialise(engine, data_of(at))
        sign(engine, data_of(at))
    configuration = home / "my.cnf"
    configuration.write_text(_configuration(at, home, engine), encoding="utf-8")
    keep(home, "init.sql", _first_statements(at.database_password("root")))
    return Program(NAME, (str(engine.program), f"--defaults-file={configuration}"), stop_within_s=60.0)


def engine_of(at: Layout) -> Engine:
    """The program that runs it, or would."""
    return database_engine(at.database_program)


def data_of(at: Layout) -> Path:
    """The folder of its data."""
    return at.plain_dir / NAME / "data"


def is_ready(at: Layout) -> bool:
    """Whether the database lets the administrator in."""
    try:
        connect(at.admin_url, timeout_s=2).close()
    except (OSError, pymysql.err.Error) as error:
        return at.private_database and error.args[0] == _ACCESS_DENIED and _exchange_old_password(at)
    return True


def _exchange_old_password(at: Layout) -> bool:
    """A server that has been running since everybody knew its password gets the one of its run."""
    url = url_as(at.admin_url, "root", _OLD_PASSWORD)
    try:
        with connect(url, timeout_s=2) as connection, connection.cursor() as cursor:
            cursor.execute(_first_statements(at.database_password("root")).strip().splitlines()[1])
    except (OSError, pymysql.err.Error):
        return False
    return True


def _initialise(engine: Engine, data: Path) -> None:
    """Fill a folder beside and rename it, so that a power cut in the middle leaves nothing half made."""
    fresh = data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    scratch = _scratch(data.parent)
    if engine.product == "MariaDB":
        command = [*_mariadb_installer(engine.program), f"--datadir={fresh}"]
        # Forced: it would refuse where the machine's own name cannot be looked up, which nothing here needs.
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
    else:
        command = [str(engine.program), "--no-defaults", "--initialize-insecure", f"--datadir={fresh}"]
        command.append(f"--{_NO_FILES}")
    command.append(f"--tmpdir={scratch}")
    if os.geteuid() == 0:
        command.append("--user=root")
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise FleetError(f"making the database's data folder with {engine} failed:\n{tail}")
    fresh.rename(data)


def _scratch(home: Path) -> Path:
    """The server's own folder for temporary tables.

    A server that starts deletes what an earlier one may have left in that folder. In a shared /tmp it would
    take the temporary tables of another one that is at work.
    """
    scratch = home / "tmp"
    scratch.mkdir(mode=0o700, exist_ok=True)
    return scratch


def _mariadb_installer(server: Path) -> list[str]:
    """The script that belongs to this server: another version's would make other tables."""
    names = ("mariadb-install-db", "mysql_install_db")
    usual = which(names[0]) or which(names[1])
    home = server.parent.parent
    for script in (
        folder / name for folder in (server.parent, home / "bin", home / "scripts") for name in names
    ):
        if os.access(script, os.X_OK) and script != usual:
            # Without it the script looks for its own parts where the machine's usual server has them.
            where = [f"--basedir={home}"] if (home / "share").is_dir() else []
            return [str(script), "--no-defaults", *where]
    if usual is None:
        raise FleetError("mariadb-install-db is not installed (it belongs to the package mariadb-server)")
    return [str(usual), "--no-defaults"]


def _configuration(at: Layout, home: Path, engine: Engine) -> str:
    lines = [
        "# Written at every start; changes here are lost.",
        "[mysqld]",
        f"datadir = {_quoted(data_of(at))}",
        f"socket = {_quoted(at.database_socket)}",
        f"pid-file = {_quoted(home / 'database.pid')}",
        f"init-file = {_quoted(home / 'init.sql')}",
        f"tmpdir = {_quoted(_scratch(home))}",
        f"bind-address = {HOST}",
        f"port = {at.database_port}",
        "skip-name-resolve",
        # Durable at every commit: the promises of the outbox stand on it.
        "innodb-flush-log-at-trx-commit = 1",
        "max-connections = 400",
    ]
    if not at.database_as_shipped:
        lines += _PREFERENCES
    if os.geteuid() == 0:
        lines.append("user = root")  # refused as root unless it is said
    if engine.product == "MySQL":
        lines.append("mysqlx = OFF")  # it would open a port outside ours
        lines.append(_NO_FILES)
    return "\n".join([*lines, ""])


def _first_statements(password: str) -> str:
    """Run by the server at every start: whoever comes over TCP needs a password, the administrator too."""
    return (
        f"CREATE USER IF NOT EXISTS 'root'@'{HOST}' IDENTIFIED BY '{password}';\n"
        f"ALTER USER 'root'@'{HOST}' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO 'root'@'{HOST}' WITH GRANT OPTION;\n"
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
    )


def _quoted(path: Path) -> str:
    """A value of an option file."""
    return '"' + re.sub(r'(["\\])', r"\\\1", str(path)) + '"'
