"""The users of the broker, with their passwords and with what they may do: as its definitions.

A broker that is ours reads them from a file when it starts. To others they are sent over the management API,
which takes them from an administrator: `python -m deploy.broker_users FOLDER` does that with the broker of
SHOP_MANAGEMENT_URL, and keeps the passwords in that folder, each in the file `broker-<user>`.
"""

import argparse
import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deploy.secrets import secret
from deploy.services import ROOT, Service, load_services
from shared.addresses import HTTP, parse
from shared.broker.identity import named
from shared.permissions import Permission, pattern
from shared.settings import given

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 10.0


class Refusal(Exception):
    """The management API does not make users; the message says why, without the password."""


def file_name(user: str) -> str:
    """The name of the file with the password of a user."""
    return f"broker-{user}"


def command(services: Sequence[Service], python: str = sys.executable) -> list[str]:
    """The program that says what every user may do, as JSON of `Permission`s."""
    return [python, "-m", "shared.permissions", *packages(services)]


def packages(services: Sequence[Service]) -> list[str]:
    """The packages of those services that register something with the broker."""
    return [service.module for service in services if not service.outside and _registers(service.module)]


def _registers(package: str) -> bool:
    try:
        return find_spec(f"{package}.service") is not None
    except ModuleNotFoundError:  # it is no package
        return False


def read(text: bytes, services: Sequence[Service]) -> list[Permission]:
    """What that program said, and users that may do nothing for the services that register nothing."""
    found = msgspec.json.decode(text, type=list[Permission])
    known = {one.user for one in found}
    others = [named(service.name) for service in services if not service.outside]
    return [*found, *(Permission(user=user) for user in others if user not in known)]


def besides_administrators(permissions: Iterable[Permission]) -> list[Permission]:
    """Those whom we make at a broker elsewhere: it has an administrator, whose password is none of ours."""
    return [one for one in permissions if "administrator" not in one.tags]


def definitions(
    permissions: Sequence[Permission], password: Callable[[str], str], vhost: str = "/"
) -> dict[str, Any]:
    """What the broker is to read: all users with the hashes of their passwords, and what they may do.

    With them go the exchanges that this is about, as publishers declare them.
    """
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": one.user,
                "password_hash": hashed(password(one.user)),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ",".join(one.tags),
            }
            for one in permissions
        ],
        "permissions": [
            {
                "user": one.user,
                "vhost": vhost,
                "configure": pattern(one.configure),
                "write": pattern(one.write),
                "read": pattern(one.read),
            }
            for one in permissions
        ],
        "exchanges": [
            {
                "name": exchange,
                "vhost": vhost,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in sorted({keys.exchange for one in permissions for keys in one.topics})
        ],
        "topic_permissions": [
            {
                "user": one.user,
                "vhost": vhost,
                "exchange": keys.exchange,
                "write": pattern(keys.write),
                "read": pattern(keys.read),
            }
            for one in permissions
            for keys in one.topics
        ],
    }


def in_order(wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Definitions in the parts in which a broker can take them.

    Of one document RabbitMQ takes the permissions before the exchanges, whatever stands first in it, and from
    4.2 on it refuses permissions for the keys of an exchange that is not there.
    """
    first = ("vhosts", "exchanges")
    return [
        {name: wanted[name] for name in first},
        {name: part for name, part in wanted.items() if name not in first},
    ]


def hashed(password: str, salt: bytes | None = None) -> str:
    """A password as the broker keeps it: the salt, and SHA-256 of the salt and the password."""
    salt = os.urandom(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def send(management_url: str, wanted: Mapping[str, Any]) -> None:
    """Have a broker that runs take these definitions. Raises `Refusal`."""
    for part in in_order(wanted):
        _ask(management_url, "POST", "definitions", part)


def is_administrator(management_url: str) -> bool:
    """Whether the user of this URL may make users. Raises `Refusal` where nobody can tell."""
    tags = _ask(management_url, "GET", "whoami").json()["tags"]
    return "administrator" in (tags.split(",") if isinstance(tags, str) else tags)


def _ask(management_url: str, method: str, path: str, body: Any = None) -> "httpx.Response":
    import httpx  # most commands never need it

    refusal = "no management API is named"
    for server in parse(management_url, HTTP) if management_url else ():
        url = f"{server.url('https' if server.tls else 'http').rstrip('/')}/api/{path}"
        try:
            tls = server.tls.context() if server.tls else False
            answer = httpx.request(method, url, json=body, trust_env=False, timeout=PATIENCE_S, verify=tls)
        except (httpx.HTTPError, ConnectionError) as error:  # its words may hold the URL, and the password
            refusal = f"the management API does not answer ({type(error).__name__})"
            continue
        if answer.is_success:
            return answer
        refusal = f"the management API answers {answer.status_code}: {answer.text[:200]}"
    raise Refusal(refusal)


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when the broker has all users; 1 if it does not make them; 2 if none is named."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.broker_users",
        description="Have the broker of SHOP_MANAGEMENT_URL make a user for every declared service.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the passwords are, or will be")
    parser.add_argument("--vhost", default="/", help="default: /")
    asked = parser.parse_args(arguments)
    management = given("SHOP_MANAGEMENT_URL")
    if management is None:
        print(
            "SHOP_MANAGEMENT_URL is not set: http://USER:PASSWORD@HOST:15672, an administrator's",
            file=sys.stderr,
        )
        return 2
    services = load_services()
    done = subprocess.run(command(services), cwd=ROOT, stdout=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode != 0:
        return 1
    permissions = besides_administrators(read(done.stdout, services))
    made = definitions(permissions, lambda user: secret(asked.folder, file_name(user)), asked.vhost)
    try:
        send(management.text, made)
    except (Refusal, ValueError) as refusal:  # or a URL that names none
        print(refusal, file=sys.stderr)
        return 1
    print("users of the broker:", ", ".join(one.user for one in permissions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
