"""`python -m deploy.containers.secrets FOLDER`: what nobody shall know of a shop in containers.

The one-shot job `secrets` of compose.yaml runs it before all others. Passwords are made at random, once, and
are kept in `FOLDER/all`. Every container sees one other folder and no more: its own, with the URLs and
passwords that it needs. With `--tools` it prints the settings for tools of this machine instead.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deploy import broker_users, call_keys
from deploy.broker_users import file_name
from deploy.grants import VERIFY_USER
from deploy.secrets import secret
from deploy.services import ROOT, Service, load_services
from shared.broker.identity import MIGRATE, named
from shared.permissions import PAGES, PEOPLE, Permission
from shared.rpc.callers import OPERATOR
from shared.rpc.credentials import key_made_of, public_part

ALL = "all"
"""The folder with every password, which the job alone sees."""
DATABASE_ROOT = "root"
_HOST = "127.0.0.1"

Password = Callable[[str], str]
"""The password of that name, the same one each time."""


class Places(NamedTuple):
    """Where the servers are, as `host:port`: in containers by their names in compose.yaml."""

    broker: str = "broker:5672"
    management: str = "broker:15672"
    database: str = "database:3306"


def secrets_of(
    password: Password, services: Sequence[Service], permissions: Sequence[Permission]
) -> dict[str, dict[str, str]]:
    """The texts of all secrets, by the container that needs them and the name of the file."""
    at = Places()
    databases = [service.database for service in services if service.database]
    definitions = broker_users.definitions(permissions, lambda user: password(file_name(user)))
    found: dict[str, dict[str, str]] = {
        "broker": {"definitions.json": json.dumps(definitions)},
        "database": {"mysql_root_password": password(f"database-{DATABASE_ROOT}")},
        "migrate": {
            "amqp_url": _amqp_url(password, MIGRATE, at),
            "database_admin_url": _database_url(password, DATABASE_ROOT, at, ""),
            "verify_url": _database_url(password, VERIFY_USER, at, ""),
            "admin_password": password("admin-password"),
            "secret_key": password(f"secret-key-{named('user')}"),
            **{f"{name}_database_url": _database_url(password, name, at, name) for name in databases},
        },
    }
    callers = [*(named(service.name) for service in services if not service.outside), OPERATOR]
    public = " ".join(public_part(_call_key(password, name)) for name in callers)
    for service in services:
        own = found[service.name] = {}
        if not service.outside:
            own["call_key"] = _call_key(password, named(service.name))
            own["call_keys"] = public
            own["amqp_url"] = _amqp_url(password, named(service.name), at)
        if service.database:
            own["database_url"] = _database_url(password, service.database, at, service.database)
        if service.name == "user":
            own["secret_key"] = password(f"secret-key-{named(service.name)}")
        if service.public:
            own["management_url"] = f"http://{PAGES}:{password(file_name(PAGES))}@{at.management}"
        if service.outside or service.name == "payment":
            own["pg_secret"] = password("pg-secret")
    return found


def tools_of(password: Password, ports: dict[str, str]) -> dict[str, str]:
    """The settings by which tools of this machine find the shop, at the ports that compose publishes."""
    at = Places(
        broker=f"{_HOST}:{ports['SHOP_AMQP_PORT']}",
        management=f"{_HOST}:{ports['SHOP_MANAGEMENT_PORT']}",
        database=f"{_HOST}:{ports['SHOP_DATABASE_PORT']}",
    )
    return {
        "SHOP_GATEWAY_URL": f"http://{_HOST}:{ports['SHOP_PORT_BASE']}",
        "SHOP_PG_URL": f"http://{_HOST}:{ports['SHOP_PG_PORT']}",
        "SHOP_PG_SECRET": password("pg-secret"),
        "SHOP_CALL_KEY": _call_key(password, OPERATOR),
        "SHOP_AMQP_URL": _amqp_url(password, PEOPLE, at),
        "SHOP_MANAGEMENT_URL": f"http://{PEOPLE}:{password(file_name(PEOPLE))}@{at.management}",
        "SHOP_DATABASE_ADMIN_URL": _database_url(password, DATABASE_ROOT, at, ""),
        "SHOP_VERIFY_URL": _database_url(password, VERIFY_USER, at, ""),
        "SHOP_ADMIN_PASSWORD": password("admin-password"),
    }


def write(folder: Path, password: Password, services: Sequence[Service]) -> None:
    """Write what every container needs into its own folder; what was there is replaced.

    The files can be read by everybody: containers run as users of their own, and who does not see the folder
    does not see them.
    """
    done = subprocess.run(broker_users.command(services), cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603
    permissions = broker_users.read(done.stdout, services)
    for container, texts in secrets_of(password, services, permissions).items():
        (folder / container).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / container / name).write_text(f"{text}\n", encoding="utf-8")
            (folder / container / name).chmod(0o644)


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when all of it is there."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.containers.secrets", description="Make the secrets of a shop in containers."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder with one for each container")
    parser.add_argument("--tools", action="store_true", help="print the settings for tools of this machine")
    given = parser.parse_args(arguments)
    password = partial(secret, given.folder / ALL)
    if given.tools:
        for name, value in tools_of(password, dict(os.environ)).items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        write(given.folder, password, load_services({}))
    return 0


def _call_key(password: Password, name: str) -> str:
    return key_made_of(name, password(call_keys.private(name)))


def _amqp_url(password: Password, user: str, at: Places) -> str:
    return f"amqp://{user}:{password(file_name(user))}@{at.broker}/"


def _database_url(password: Password, user: str, at: Places, database: str) -> str:
    return f"mysql://{user}:{password(f'database-{user}')}@{at.database}/{database}"


if __name__ == "__main__":
    sys.exit(main())
