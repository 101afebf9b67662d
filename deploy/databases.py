"""Creates each service's database and user, and the read-only user `verify`: `python -m deploy.databases`.

With `--migrate` it applies every service's migrations and seeds as well, and has all queues declared where
SHOP_AMQP_URL says at which broker: the one-shot job of compose.yaml.

A user's password is its name, a default for local runs, unless a setting says the URL that a service is
given: `SHOP_ORDER_SVC_DATABASE_URL` for `order_svc`, `SHOP_VERIFY_URL` for `verify`. Like every setting, each
of them may stand in a file that `..._FILE` names.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pymysql

from deploy.queues import command
from deploy.services import ROOT, Service, load_services
from shared.addresses import DATABASE_SERVER, Server, parse, takes_changes
from shared.collation import COLLATION
from shared.settings import given

VERIFY_USER = "verify"
"""Reads every service's database and can change nothing."""


def connect(url: str, *, timeout_s: float = 5.0) -> "pymysql.connections.Connection[Any]":
    """A connection by URL (`mysql://user:password@host:port/database`), autocommit on.

    Of several servers it is the first that takes changes, else one that can be read.
    """
    spare: pymysql.connections.Connection[Any] | None = None
    failure: Exception | None = None
    for server in parse(url, DATABASE_SERVER):
        try:
            connection = _connect(server, timeout_s)
        except (OSError, pymysql.err.MySQLError) as error:
            failure = error
            continue
        if spare is None and not _takes_changes(connection):
            spare = connection
            continue
        if spare is not None:
            spare.close()
        return connection
    if spare is None:
        assert failure is not None  # noqa: S101  a URL names one server at least
        raise failure
    return spare


def _connect(server: Server, timeout_s: float) -> "pymysql.connections.Connection[Any]":
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.user or "root",
        password=server.password or "",
        database=unquote(server.path.lstrip("/")) or None,
        charset="utf8mb4",
        collation=COLLATION,
        autocommit=True,
        connect_timeout=max(1, round(timeout_s)),
        read_timeout=60,
        write_timeout=60,
        ssl=server.tls.context() if server.tls else None,
    )


def _takes_changes(connection: "pymysql.connections.Connection[Any]") -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@read_only")
        return takes_changes((cursor.fetchone() or (0,))[0])


def url_as(url: str, user: str, database: str = "") -> str:
    """The same servers for another user, whose password is its name: a default for local runs."""
    own = (
        server._replace(user=user, password=user, path=f"/{database}")
        for server in parse(url, DATABASE_SERVER)
    )
    return ",".join(server.setting() for server in own)


def create_databases(
    admin_url: str, services: Sequence[Service], passwords: Mapping[str, str] | None = None
) -> None:
    """Make what is missing, correct what differs; a second run changes nothing.

    A user that `passwords` does not name gets its name as its password: a default for local runs. Every
    service user may do everything in its own database and nothing elsewhere, so that no service can lean on
    another's tables.
    """
    passwords = passwords or {}
    owned = [service.database for service in services if service.database]
    with connect(admin_url) as connection, connection.cursor() as cursor:
        _user(cursor, VERIFY_USER, passwords)
        for name in owned:
            cursor.execute(
                f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE {COLLATION}"
            )
            _user(cursor, name, passwords)
            # An underscore is a wildcard in a grant: unescaped, `a_svc` would open `absvc` as well.
            pattern = name.replace("_", r"\_")
            cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO '{name}'@'%'")
            cursor.execute(f"GRANT SELECT ON `{pattern}`.* TO '{VERIFY_USER}'@'%'")


def _user(cursor: "pymysql.cursors.Cursor", name: str, passwords: Mapping[str, str]) -> None:
    """ALTER after CREATE: a user left from elsewhere gets the password that the services are given."""
    password = passwords.get(name, name)
    cursor.execute(f"CREATE USER IF NOT EXISTS '{name}'@'%%' IDENTIFIED BY %s", (password,))
    cursor.execute(f"ALTER USER '{name}'@'%%' IDENTIFIED BY %s", (password,))


def main(arguments: list[str]) -> int:
    """Reads SHOP_DATABASE_ADMIN_URL and the URLs of the users; waits for a server that is only starting."""
    services = load_services()
    try:
        admin = given("SHOP_DATABASE_ADMIN_URL")
        urls = _urls(services)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if admin is None or not admin.text:
        print("SHOP_DATABASE_ADMIN_URL is not set: the URL of one who may create databases", file=sys.stderr)
        return 2
    _await_server(admin.text)
    create_databases(
        admin.text,
        services,
        {user: parse(url, DATABASE_SERVER)[0].password or "" for user, url in urls.items()},
    )
    print("databases ready:", ", ".join(service.database for service in services if service.database))
    return _migrate(admin.text, urls, services) if "--migrate" in arguments else 0


def _urls(services: Sequence[Service]) -> dict[str, str]:
    """The URLs that settings say, by the user whom they are for. Raises ValueError for another's."""
    settings = {
        service.database: f"SHOP_{service.database.upper()}_DATABASE_URL"
        for service in services
        if service.database
    }
    urls: dict[str, str] = {}
    for user, variable in {**settings, VERIFY_USER: "SHOP_VERIFY_URL"}.items():
        if (found := given(variable)) is None:
            continue
        try:
            servers = parse(found.text, DATABASE_SERVER)
        except ValueError as error:
            raise ValueError(f"{found.said}: {error}") from error
        if {server.user for server in servers} != {user}:
            raise ValueError(f"{found.said}: expected mysql://{user}:PASSWORD@HOST:PORT/..., with this user")
        if len({server.password for server in servers}) > 1:
            raise ValueError(f"{found.said}: expected one password at all of these servers")
        urls[user] = found.text
    return urls


def _await_server(url: str, *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            connect(url).close()
            return
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _migrate(admin_url: str, urls: Mapping[str, str], services: Sequence[Service]) -> int:
    """Every service with its own user, as it will run: a migration that needs more is mistaken."""
    inherited = {name: value for name, value in os.environ.items() if "DATABASE_ADMIN_URL" not in name}
    for service in services:
        if service.database is None:
            continue
        own = urls.get(service.database) or url_as(admin_url, service.database, service.database)
        environment = {**inherited, "SHOP_DATABASE_URL": own}
        migrating = [sys.executable, "-m", "shared.migrate", service.module]
        done = subprocess.run(migrating, cwd=ROOT, env=environment, check=False)  # noqa: S603
        if done.returncode != 0:
            print(f"migrating {service.module} failed", file=sys.stderr)
            return done.returncode
    words = command(services) if given("SHOP_AMQP_URL") else None
    return subprocess.run(words, cwd=ROOT, check=False).returncode if words else 0  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
