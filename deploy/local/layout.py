"""Where everything of a local run is: ports, URLs and folders, all derived from two settings."""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.broker_users import file_name
from deploy.databases import password_in, url_as, users_of
from deploy.grants import MIGRATE_USER, VERIFY_USER
from deploy.local.errors import FleetError
from deploy.secrets import secret
from deploy.services import ROOT, DeclarationError, Service, load_services
from shared.addresses import AMQP, DATABASE_SERVER, HTTP, Kind, parse
from shared.permissions import PAGES, PEOPLE

HOST = "127.0.0.1"
MANAGEMENT_UNKNOWN = "unknown (SHOP_MANAGEMENT_URL=http://USER:PASSWORD@HOST:15672 says where it is)"

_AMQP, _MANAGEMENT, _EPMD, _DISTRIBUTION, _DATABASE = 70, 71, 72, 73, 74
_CONTROL, _NOTICES = 77, 78
_TOOLS = range(80, 90)
_PATH_MAX = 75  # a Unix socket's path ends at 107 characters (103 on macOS), and ours has 23 more
_SCHEME = {False: "http", True: "https"}
_PLAIN = re.compile(r"[A-Za-z0-9_./@+-]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """One local run. `private_*`: whether we run that server, or the services, or use those that the
    environment names; `*_program`: what to run it with, where that is said."""

    base: int
    run_dir: Path
    services: tuple[Service, ...]
    private_shop: bool
    private_broker: bool
    private_database: bool
    named_amqp_url: str | None
    named_management_url: str | None
    """What the environment says of a broker elsewhere."""
    named_admin_url: str | None
    """The database server that the environment names."""
    named_verify_url: str | None
    gateway_url: str
    broker_program: str | None
    database_program: str | None
    database_as_shipped: bool
    """Whether the private database keeps its maker's defaults, where ours would be others."""
    tls: bool = False
    """Whether what runs here is reached over TLS, with certificates of the run's own authority."""

    @property
    def secrets(self) -> Path:
        """Folder of the passwords and keys that this run has made for itself, one file each."""
        return self.run_dir / "secrets"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that has signed all others of this run."""
        return self.secrets / "ca.pem"

    @property
    def scheme(self) -> str:
        """How services are asked over HTTP."""
        return _SCHEME[self.tls]

    def broker_password(self, user: str) -> str:
        """The password that this run has made for a user of the broker."""
        return secret(self.secrets, file_name(user))

    @property
    def amqp_url(self) -> str:
        """The broker as people and their tools use it: what the environment names, or the private one's."""
        return self.named_amqp_url or self.amqp_url_of(PEOPLE)

    def amqp_url_of(self, user: str) -> str:
        """The same broker for a user whom we have made there."""
        return self._signed_in(self.named_amqp_url or f"amqp://{HOST}:{self.amqp_port}/", AMQP, user)

    @property
    def management_url(self) -> str | None:
        """The broker's management API for an administrator; None if unknown."""
        if self.named_management_url or self.named_amqp_url:
            return self.named_management_url
        return self._signed_in(f"http://{HOST}:{self.management_port}", HTTP, PEOPLE)

    @property
    def pages_management_url(self) -> str | None:
        """The same for the operators' pages, as a user whom we have made; None if unknown."""
        return self._signed_in(self.management_url, HTTP, PAGES) if self.management_url else None

    def _signed_in(self, url: str, kind: Kind, user: str) -> str:
        """Servers as those of a user whose password we have made."""
        password = self.broker_password(user)
        return ",".join(
            server._replace(user=user, password=password).setting() for server in parse(url, kind)
        )

    @property
    def amqp_port(self) -> int:
        """AMQP of the private broker."""
        return self.base + _AMQP

    @property
    def management_port(self) -> int:
        """Management UI and HTTP API of the private broker."""
        return self.base + _MANAGEMENT

    @property
    def management_page(self) -> str | None:
        """The management UI for people: without the name and password that programs use; None if unknown."""
        if not (self.named_management_url or self.named_amqp_url):
            return f"http://{HOST}:{self.management_port}"
        if not self.named_management_url:
            return None
        server = parse(self.named_management_url, HTTP)[0]
        return server._replace(user=None, password=None).url().rstrip("/")

    @property
    def epmd_port(self) -> int:
        """The Erlang port mapper of the private broker alone, never the machine's own on 4369."""
        return self.base + _EPMD

    @property
    def distribution_port(self) -> int:
        """Erlang distribution of the private broker."""
        return self.base + _DISTRIBUTION

    @property
    def tool_ports(self) -> range:
        """Where the broker's command-line tools may listen while they run."""
        return range(self.base + _TOOLS.start, self.base + _TOOLS.stop)

    @property
    def database_port(self) -> int:
        """SQL of the private database."""
        return self.base + _DATABASE

    @property
    def control_port(self) -> int:
        """Where the supervisor takes commands."""
        return self.base + _CONTROL

    @property
    def notices_port(self) -> int:
        """Where the supervisor publishes what happens to processes."""
        return self.base + _NOTICES

    @property
    def plain_dir(self) -> Path:
        """The run folder by a name that servers can bear: itself, or a link to it in the temporary folder.

        A Unix socket's path must be short, RabbitMQ's watch over the disk hangs at a quote in a path, and
        MariaDB's scripts split at spaces.
        """
        if len(os.fsencode(self.run_dir)) <= _PATH_MAX and _PLAIN.fullmatch(str(self.run_dir)):
            return self.run_dir
        key = hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"sagamart-{key}"

    @property
    def database_socket(self) -> Path:
        """The database's Unix socket."""
        return self.plain_dir / "database" / "database.sock"

    @property
    def logs(self) -> Path:
        """Folder of the logs, one file a process."""
        return self.run_dir / "logs"

    def service(self, name: str) -> Service:
        """The declared service of that name; raises FleetError and lists the names otherwise."""
        for service in self.services:
            if service.name == name:
                return service
        names = ", ".join(service.name for service in self.services)
        raise FleetError(f"there is no service {name!r}; the services are: {names}")

    @property
    def admin_url(self) -> str:
        """The database server as its administrator, whose password is made when it is first asked for."""
        if self.named_admin_url is not None:
            return self.named_admin_url
        return f"mysql://root:{self.database_password('root')}@{HOST}:{self.database_port}/"

    @property
    def verify_url(self) -> str:
        """The databases as who may read them all, but for secrets."""
        return self.named_verify_url or self._database_as(VERIFY_USER)

    def database_url(self, service: Service) -> str | None:
        """The service's own database with its own user."""
        return self._database_as(service.database, service.database) if service.database else None

    def migrating_url(self, service: Service) -> str:
        """The service's database as who may change its tables."""
        return self._database_as(MIGRATE_USER, service.database or "")

    @property
    def database_passwords(self) -> dict[str, str]:
        """The passwords of all users of the database but its administrator."""
        passwords = {user: self.database_password(user) for user in users_of(self.services)}
        if self.named_verify_url is not None:
            passwords[VERIFY_USER] = password_in(self.named_verify_url)
        return passwords

    def database_password(self, user: str) -> str:
        """The password that this run has made for a user of the database."""
        return secret(self.secrets, f"database-{user}")

    def _database_as(self, user: str, database: str = "") -> str:
        return url_as(self.admin_url, user, self.database_password(user), database)

    def outside_url(self, name: str) -> str | None:
        """Where somebody outside is that the shop talks to; None if this run has none of that name."""
        found = (service for service in self.services if service.outside and service.name == name)
        return next((f"http://{HOST}:{service.port(self.base, 1)}" for service in found), None)

    @property
    def peers(self) -> str:
        """Where services answer calls, all replicas of each: `order=http://127.0.0.1:8040-8048 ...`."""
        ranges = {
            service.name: (service.port(self.base, 1), service.port(self.base, service.most))
            for service in self.services
            if not service.public and not service.outside
        }
        return " ".join(
            f"{name}={self.scheme}://{HOST}:{first}-{last}" for name, (first, last) in ranges.items()
        )


def layout(environ: Mapping[str, str] | None = None) -> Layout:
    """The local run that the environment describes.

    SHOP_PORT_BASE (8000): the public port; all others lie within the hundred from there on.
    SHOP_RUN_DIR (.run): data, logs and state. SHOP_AMQP_URL, SHOP_MANAGEMENT_URL, SHOP_DATABASE_ADMIN_URL:
    servers to use instead of private ones. SHOP_GATEWAY_URL: a shop that runs elsewhere; its servers are
    looked for where a private shop has them, unless they are named, too. SHOP_RABBITMQ_SERVER, SHOP_MYSQLD:
    what to run private servers with; SHOP_DATABASE_AS_SHIPPED=1: with the maker's defaults. SHOP_TLS=on:
    what runs here is reached over TLS.
    Raises FleetError when one of them is wrong.
    """
    environ = os.environ if environ is None else environ
    base, tls = _port_base(environ), _tls(environ)
    run_dir = Path(os.path.abspath(ROOT / Path(environ.get("SHOP_RUN_DIR") or ".run").expanduser()))
    try:
        services = tuple(load_services(environ))
    except DeclarationError as error:
        raise FleetError(str(error)) from error
    amqp_url = _servers(environ, "SHOP_AMQP_URL", AMQP)
    admin_url = _servers(environ, "SHOP_DATABASE_ADMIN_URL", DATABASE_SERVER)
    elsewhere = environ.get("SHOP_GATEWAY_URL")
    management_url = _servers(environ, "SHOP_MANAGEMENT_URL", HTTP)
    return Layout(
        base=base,
        run_dir=run_dir,
        services=services,
        private_shop=not elsewhere,
        private_broker=not amqp_url and not elsewhere,
        private_database=not admin_url and not elsewhere,
        named_amqp_url=amqp_url or None,
        named_management_url=management_url,
        named_admin_url=admin_url,
        named_verify_url=_servers(environ, "SHOP_VERIFY_URL", DATABASE_SERVER),
        gateway_url=elsewhere or f"{_SCHEME[tls]}://{HOST}:{base}",
        broker_program=environ.get("SHOP_RABBITMQ_SERVER") or None,
        database_program=environ.get("SHOP_MYSQLD") or None,
        database_as_shipped=environ.get("SHOP_DATABASE_AS_SHIPPED", "") not in ("", "0"),
        tls=tls,
    )


def _servers(environ: Mapping[str, str], name: str, kind: Kind) -> str | None:
    text = environ.get(name)
    if not text:
        return None
    try:
        parse(text, kind)
    except ValueError as error:
        raise FleetError(f"{name}: {error}") from error
    return text


def _port_base(environ: Mapping[str, str]) -> int:
    text = environ.get("SHOP_PORT_BASE") or "8000"
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text) <= 65436:
        raise FleetError(f"SHOP_PORT_BASE must be a number from 1024 to 65436, not {text!r}")
    return int(text)


def _tls(environ: Mapping[str, str]) -> bool:
    text = environ.get("SHOP_TLS") or "off"
    if text not in ("on", "off"):
        raise FleetError(f"SHOP_TLS must be on or off, not {text!r}")
    return text == "on"
