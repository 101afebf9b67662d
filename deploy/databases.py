"""Creates each service's database and user, and the read-only user `verify`: `python -m deploy.databases`.

With `--migrate` it applies every service's migrations and seeds as well, lets `verify` read, and has all
queues declared where SHOP_AMQP_URL says at which broker: the one-shot job of compose.yaml.

Passwords are those of the URLs that settings say: `SHOP_ORDER_SVC_DATABASE_URL` for `order_svc`,
`SHOP_VERIFY_URL` for `verify`, which may be left out. Like every setting, each may stand in a file that
`..._FILE` names. The user that migrates gets a new password each time, which nobody is told.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pymysql

from deploy.grants import MIGRATE_USER, VERIFY_USER, grant_reading, grant_work, secrets_of
from deploy.queues import command
from deploy.services import ROOT, Service, load_services
from shared.addresses import DATABASE_SERVER, Server, parse, takes_changes
from shared.collation import COLLATION
from shared.production import unsafe_url
from shared.settings import given


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


def url_as(url: str, user: str, password: str, database: str = "") -> str:
    """The same servers for another user."""
    own = (
        server._replace(user=user, password=password, path=f"/{database}")
        for server in parse(url, DATABASE_SERVER)
    )
    return ",".join(server.setting() for server in own)


def create_databases(admin_url: str, services: Sequence[Service], passwords: Mapping[str, str]) -> None:
    """Make what is missing, correct what differs; a second run changes nothing.

    `passwords` are those of every user; one without stays as it is, or cannot sign in. A service may change
    rows in its own database and do nothing elsewhere, so that no service can lean on another's tables.
    """
    with connect(admin_url) as connection, connection.cursor() as cursor:
        for user in (VERIFY_USER, MIGRATE_USER):
            _user(cursor, user, passwords.get(user))
        for name in _databases(services):
            cursor.execute(
                f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE {COLLATION}"
            )
            _user(cursor, name, passwords.get(name))
            grant_work(cursor, name, name)


def let_verify_read(admin_url: str, services: Sequence[Service]) -> None:
    """Grant `verify` what there is to read, after the migrations: no secret of a service is among it."""
    with connect(admin_url) as connection, connection.cursor() as cursor:
        for service in services:
            if service.database:
                grant_reading(cursor, service.database, secrets_of(service))


def password_in(url: str) -> str:
    """The password of a setting that names servers; the same one at all of them."""
    return parse(url, DATABASE_SERVER)[0].password or ""


def users_of(services: Sequence[Service]) -> list[str]:
    """The database's users, each of whom needs a password."""
    return [*_databases(services), VERIFY_USER, MIGRATE_USER]


def _databases(services: Sequence[Service]) -> list[str]:
    return [service.database for service in services if service.database]


def _user(cursor: "pymysql.cursors.Cursor", name: str, password: str | None) -> None:
    """ALTER after CREATE: a user left from elsewhere gets the password that the services are given."""
    cursor.execute(
        f"CREATE USER IF NOT EXISTS '{name}'@'%%' IDENTIFIED BY %s", (password or secrets.token_urlsafe(),)
    )
    if password is not None:
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
    if wrong := list(_unsafe(admin.text, urls)):
        print("These settings cannot be used in production:", *wrong, sep="\n  ", file=sys.stderr)
        return 2
    if missing := [_setting(user) for user in _databases(services) if user not in urls]:
        print(f"{', '.join(missing)} is not set: the URLs that the services are given", file=sys.stderr)
        return 2
    passwords = {user: password_in(url) for user, url in urls.items()}
    passwords[MIGRATE_USER] = secrets.token_urlsafe()
    _await_server(admin.text)
    create_databases(admin.text, services, passwords)
    print("databases ready:", ", ".join(_databases(services)))
    return _migrate(admin.text, passwords[MIGRATE_USER], services) if "--migrate" in arguments else 0


def _urls(services: Sequence[Service]) -> dict[str, str]:
    """The URLs that settings say, by the user whom they are for. Raises ValueError for another's."""
    urls: dict[str, str] = {}
    for user in (*_databases(services), VERIFY_USER):
        if (found := given(_setting(user))) is None:
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


def _unsafe(admin_url: str, urls: Mapping[str, str]) -> Iterator[str]:
    environment = given("SHOP_ENV")
    if environment is not None and environment.text == "production":
        yield from unsafe_url("SHOP_DATABASE_ADMIN_URL", admin_url)
        for user, url in urls.items():
            yield from unsafe_url(_setting(user), url)


def _setting(user: str) -> str:
    return "SHOP_VERIFY_URL" if user == VERIFY_USER else f"SHOP_{user.upper()}_DATABASE_URL"


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


def _migrate(admin_url: str, password: str, services: Sequence[Service]) -> int:
    """Every service by the user for migrations: one that needs more than its tables is mistaken."""
    inherited = {name: value for name, value in os.environ.items() if "DATABASE_ADMIN_URL" not in name}
    for service in services:
        if service.database is None:
            continue
        environment = {
            **inherited,
            "SHOP_DATABASE_URL": url_as(admin_url, MIGRATE_USER, password, service.database),
        }
        migrating = [sys.executable, "-m", "shared.migrate", service.module]
        done = subprocess.run(migrating, cwd=ROOT, env=environment, check=False)  # noqa: S603
        if done.returncode != 0:
            print(f"migrating {service.module} failed", file=sys.stderr)
            return done.returncode
    let_verify_read(admin_url, services)
    words = command(services) if given("SHOP_AMQP_URL") else None
    return subprocess.run(words, cwd=ROOT, check=False).returncode if words else 0  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
