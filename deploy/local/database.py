"""The private MariaDB or MySQL: own port, data and log, on loopback alone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pymysql

from deploy.databases import connect
from deploy.local.binaries import database_server, which
from deploy.local.errors import FleetError
from deploy.local.layout import ADMIN_PASSWORD, HOST, Layout
from deploy.local.program import Program
from shared.collation import COLLATION

NAME = "database"


def prepare(at: Layout) -> Program:
    """Make the data folder if there is none, write the configuration, say how to start the database."""
    server = database_server()
    if server is None:
        raise FleetError("neither mariadbd nor mysqld is installed")
    home = at.plain_dir / NAME
    home.mkdir(parents=True, exist_ok=True)
    is_mariadb = _is_mariadb(server)
    _refuse_other_kind(home, is_mariadb)
    if not (home / "data").exists():
        _initialise(server, home, is_mariadb)
    configuration = home / "my.cnf"
    configuration.write_text(_configuration(at, home, is_mariadb), encoding="utf-8")
    (home / "init.sql").write_text(_first_statements(), encoding="utf-8")
    return Program(NAME, (str(server), f"--defaults-file={configuration}"), stop_within_s=60.0)


def is_ready(at: Layout) -> bool:
    """Whether the database lets the administrator in."""
    try:
        connect(at.admin_url, timeout_s=2).close()
    except (OSError, pymysql.err.Error):
        return False
    return True


def _is_mariadb(server: Path) -> bool:
    version = subprocess.run(  # noqa: S603
        [server, "--no-defaults", "--version"], capture_output=True, text=True, check=False
    )
    return "MariaDB" in version.stdout


def _refuse_other_kind(home: Path, is_mariadb: bool) -> None:
    """MySQL and MariaDB wreck each other's data folders, so the kind that made it is remembered."""
    kind = "mariadb" if is_mariadb else "mysql"
    note = home / "kind"
    if (home / "data").exists() and note.exists() and note.read_text(encoding="utf-8").strip() != kind:
        raise FleetError(f"{home / 'data'} was not made by {kind}: `./just reset` starts afresh")
    note.write_text(kind + "\n", encoding="utf-8")


def _initialise(server: Path, home: Path, is_mariadb: bool) -> None:
    """Fill a folder beside and rename it, so that a power cut in the middle leaves nothing half made."""
    fresh = home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if is_mariadb:
        script = which("mariadb-install-db") or which("mysql_install_db")
        if script is None:
            raise FleetError("mariadb-install-db is not installed (it belongs to the package mariadb-server)")
        command = [str(script), "--no-defaults", f"--datadir={fresh}"]
        # Forced: it would refuse where the machine's own name cannot be looked up, which nothing here needs.
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
    else:
        command = [str(server), "--no-defaults", "--initialize-insecure", f"--datadir={fresh}"]
    if os.geteuid() == 0:
        command.append("--user=root")
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise FleetError(f"making the database's data folder failed:\n{tail}")
    fresh.rename(home / "data")


def _configuration(at: Layout, home: Path, is_mariadb: bool) -> str:
    lines = [
        "# Written at every start; changes here are lost.",
        "[mysqld]",
        f"datadir = {_quoted(home / 'data')}",
        f"socket = {_quoted(at.database_socket)}",
        f"pid-file = {_quoted(home / 'database.pid')}",
        f"init-file = {_quoted(home / 'init.sql')}",
        f"bind-address = {HOST}",
        f"port = {at.database_port}",
        "skip-name-resolve",
        "character-set-server = utf8mb4",
        f"collation-server = {COLLATION}",
        "transaction-isolation = READ-COMMITTED",
        "default-time-zone = '+00:00'",
        "skip-log-bin",
        # Durable at every commit: the promises of the outbox stand on it.
        "innodb-flush-log-at-trx-commit = 1",
        "innodb-buffer-pool-size = 256M",
        "innodb-lock-wait-timeout = 10",
        "max-connections = 400",
        "performance-schema = OFF",
    ]
    if os.geteuid() == 0:
        lines.append("user = root")  # refused as root unless it is said
    if not is_mariadb:
        lines.append("mysqlx = OFF")  # it would open a port outside ours
    return "\n".join([*lines, ""])


def _first_statements() -> str:
    """Run by the server at every start: whoever comes over TCP needs a password, the administrator too."""
    return (
        f"CREATE USER IF NOT EXISTS 'root'@'{HOST}' IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
        f"ALTER USER 'root'@'{HOST}' IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO 'root'@'{HOST}' WITH GRANT OPTION;\n"
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
    )


def _quoted(path: Path) -> str:
    """A value of an option file."""
    return '"' + re.sub(r'(["\\])', r"\\\1", str(path)) + '"'
