"""`python -m deploy.containers.secrets FOLDER`: the secrets of a shop in containers, with new passwords.

`SHOP_SECRETS=FOLDER docker compose up` then uses them. `default-secrets/`, which compose.yaml takes without
that setting, is for a shop on your own machine: everybody knows its passwords.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from deploy.databases import VERIFY_USER
from deploy.local.layout import ADMIN_PASSWORD
from deploy.services import load_services
from payment_svc.settings import PaymentSettings
from shared.permissions import PEOPLE
from user_svc.settings import UserSettings

DEFAULTS = Path(__file__).parent / "default-secrets"

_KNOWN = {
    "root": ADMIN_PASSWORD,
    "admin": UserSettings().admin_password,
    "pg": PaymentSettings().pg_secret,
}


def known(user: str) -> str:
    """The password that everybody knows, as in local runs: mostly the user's name."""
    return _KNOWN.get(user, user)


def new(_: str) -> str:
    """A password that nobody can guess; no URL and no configuration has to escape a character of it."""
    return token_hex(24)


class Places(NamedTuple):
    """Where the servers are, as `host:port`: in containers by their names in compose.yaml."""

    broker: str = "broker:5672"
    management: str = "broker:15672"
    database: str = "database:3306"


def secrets_of(password: Callable[[str], str], at: Places | None = None) -> dict[str, str]:
    """Every secret by the name of its file, made of one password per user."""
    at = at or Places()
    broker, root = password(PEOPLE), password("root")
    databases = [service.database for service in load_services({}) if service.database]
    return {
        "amqp_url": f"amqp://{PEOPLE}:{broker}@{at.broker}/",
        "management_url": f"http://{PEOPLE}:{broker}@{at.management}",
        "rabbitmq.conf": f"default_user = {PEOPLE}\ndefault_pass = {broker}",
        "mysql_root_password": root,
        "database_admin_url": f"mysql://root:{root}@{at.database}/",
        "verify_url": f"mysql://{VERIFY_USER}:{password(VERIFY_USER)}@{at.database}",
        **{
            f"{name}_database_url": f"mysql://{name}:{password(name)}@{at.database}/{name}"
            for name in databases
        },
        "admin_password": password("admin"),
        "pg_secret": password("pg"),
    }


def write(folder: Path, password: Callable[[str], str]) -> None:
    """Write every secret; the folder is for its owner alone, who is all that guards the files.

    The files themselves can be read by everybody: containers see them as they are, and run as other users.
    """
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    for name, text in secrets_of(password).items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
        (folder / name).chmod(0o644)


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 if they were written, 2 if the folder has some already."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.containers.secrets", description="Write secrets with new passwords."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to; it must be new or empty")
    folder: Path = parser.parse_args(arguments).folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        print(f"{folder} is not empty: a shop may be using those secrets", file=sys.stderr)
        return 2
    write(folder, new)
    print(f"written; use them with: SHOP_SECRETS={folder.resolve()} docker compose up")
    return 0


if __name__ == "__main__":
    sys.exit(main())
