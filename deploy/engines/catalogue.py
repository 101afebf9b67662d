"""Which servers can be had, from which Debian suite, and what of theirs is run."""

from dataclasses import dataclass

from deploy.local.engines import BROKER_SETTING, DATABASE_SETTING
from deploy.local.errors import FleetError


@dataclass(frozen=True, slots=True)
class Server:
    """A server of a Debian suite: the packages that have it, and the programs that are called by name."""

    name: str
    setting: str
    """Which setting names its program: it tells databases from brokers."""
    suite: str
    packages: tuple[str, ...]
    """The first is the server's own; of the others its programs need one that the first does not ask for."""
    programs: tuple[str, ...]
    """Paths in the suite; the first is the server."""


SERVERS = (
    Server("mysql", DATABASE_SETTING, "sid", ("mysql-server-core",), ("/usr/sbin/mysqld",)),
    Server(
        "mariadb-11",
        DATABASE_SETTING,
        "trixie",
        ("mariadb-server-core", "mariadb-client-core"),
        ("/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db"),
    ),
    *(
        Server(
            name,
            BROKER_SETTING,
            suite,
            ("rabbitmq-server",),
            ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmqctl"),
        )
        for name, suite in (("rabbitmq-4.0", "trixie"), ("rabbitmq-4.3", "sid"))
    ),
)


def chosen(names: list[str]) -> list[Server]:
    """The servers of these names, at most one database and one broker. Raises `FleetError`."""
    by_name = {server.name: server for server in SERVERS}
    for name in names:
        if name not in by_name:
            raise FleetError(f"{name!r} is no server that can be fetched; choose of {', '.join(by_name)}")
    found = [by_name[name] for name in names]
    if len({server.setting for server in found}) < len(found):
        raise FleetError("a run has one database and one broker: name at most one of each")
    return found
