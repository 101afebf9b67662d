"""The settings a local run was started with, and the environment each process gets from them."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from deploy import call_keys
from deploy.bootstrap import SERVICES
from deploy.local import tls
from deploy.local.broker_users import amqp_url_for, are_made
from deploy.local.errors import FleetError
from deploy.local.layout import HOST, Layout
from deploy.local.program import Program
from deploy.services import Service
from shared.addresses import AMQP, DATABASE, Kind, parse
from shared.broker.identity import named

_NOT_FOR_SERVICES = frozenset(
    {
        "SHOP_AMQP_URL",
        "SHOP_BROKER_VIA",
        "SHOP_CALL_KEY",
        "SHOP_CALL_KEY_FILE",
        "SHOP_CALL_KEYS",
        "SHOP_CALL_KEYS_FILE",
        "SHOP_DATABASE_ADMIN_URL",
        "SHOP_DATABASE_AS_SHIPPED",
        "SHOP_DATABASE_URL",
        "SHOP_DATABASE_VIA",
        "SHOP_GATEWAY_URL",
        "SHOP_MANAGEMENT_URL",
        "SHOP_MYSQLD",
        "SHOP_RABBITMQ_SERVER",
        "SHOP_RUN_DIR",
        "SHOP_SERVICES_FILE",
        "SHOP_TLS",
        "SHOP_VERIFY_URL",
    }
)
"""None may hold the administrator's password, and each is told of its own database and key alone. Which
programs the servers are is no concern of theirs."""

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "2097152"}
"""For glibc, in bytes. What is larger than a megabyte goes back to the system once it is free, instead of
staying with the thread that had it: the hash of a password takes seven. The rest stays at hand, up to two
megabytes: to ask the system for the memory of each list of messages anew costs more than filling it."""


def ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in an environment."""
    return {name: value for name, value in environ.items() if name.startswith("SHOP_")}


def remember(at: Layout, environ: Mapping[str, str]) -> None:
    """Keep the settings for later commands: a restart from another terminal must not change them."""
    record = {"port_base": at.base, "settings": ours(environ)}
    path = at.run_dir / "settings.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)


def recall(at: Layout) -> dict[str, str] | None:
    """What the run was started with; None if nothing is known."""
    settings = _record(at).get("settings")
    return dict(settings) if isinstance(settings, dict) else None


def refuse_other_base(at: Layout) -> None:
    """One run folder, one block of ports: with the wrong one, commands would talk to a stranger."""
    base = _record(at).get("port_base", at.base)
    if base != at.base:
        raise FleetError(
            f"what runs in {at.run_dir} was started with SHOP_PORT_BASE={base}: set that here too, "
            "or choose another folder with SHOP_RUN_DIR"
        )


def refuse_other_tls(at: Layout) -> None:
    """Servers that run are not exchanged under the services' feet, and the services go as they do."""
    known = recall(at)
    was = at.tls if known is None else known.get("SHOP_TLS") == "on"
    if was != at.tls:
        now, then = ("on" if at.tls else "off"), ("on" if was else "off")
        raise FleetError(
            f"what runs in {at.run_dir} was started with SHOP_TLS={then}, not {now}: first ./just down"
        )


def plain(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without our settings and what RabbitMQ's scripts read."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(("SHOP_", "RABBITMQ_", "ERL_")) and name != "NOTIFY_SOCKET"
    }


def service_environment(at: Layout, service: Service, settings: Mapping[str, str]) -> dict[str, str]:
    """What every process of a service is told: where the others are, and its own database if it has one."""
    environment = {"SHOP_LOG_FORMAT": "json", "SHOP_LOG_LETTERS": "true"}
    for other in at.services:
        if url := at.outside_url(other.name):
            environment[f"SHOP_{other.name.upper()}_URL"] = url
    if service.outside:
        environment[f"SHOP_{service.name.upper()}_JOURNAL"] = str(at.run_dir / f"{service.name}.jsonl")
    else:
        environment["SHOP_CALL_KEY_FILE"] = str(at.secrets / call_keys.private(named(service.name)))
        environment["SHOP_CALL_KEYS_FILE"] = str(at.secrets / call_keys.PUBLIC)
        if "SHOP_SECRET_KEY" not in settings:
            environment["SHOP_SECRET_KEY_FILE"] = str(at.secrets / secret_key(service))
    environment |= {name: value for name, value in settings.items() if name not in _NOT_FOR_SERVICES}
    environment |= {"SHOP_PORT_BASE": str(at.base), "SHOP_PEERS": at.peers}
    environment |= tls.service_settings(at, service)
    if not service.outside:
        amqp_url = amqp_url_for(at, service.name)
        environment["SHOP_AMQP_URL"] = _via(at, service, AMQP, amqp_url, settings.get("SHOP_BROKER_VIA"))
    if service.public:
        pages = at.pages_management_url if are_made(at) else at.management_url
        environment["SHOP_MANAGEMENT_URL"] = pages or ""
    database_url = at.database_url(service)
    if database_url:
        environment["SHOP_DATABASE_URL"] = _via(
            at, service, DATABASE, database_url, settings.get("SHOP_DATABASE_VIA")
        )
    return environment


def secret_key(service: Service) -> str:
    """The name of the file with the secret that seals what a service keeps secret in its database."""
    return f"secret-key-{named(service.name)}"


def _via(at: Layout, service: Service, kind: Kind, url: str, first_port: str | None) -> str:
    """A server as a service reaches it: through a proxy on this machine, if there is one.

    SHOP_BROKER_VIA and SHOP_DATABASE_VIA are the port of the first declared service's own proxy; the next
    service's is on the next port.
    """
    if not first_port:
        return url
    server, *others = parse(url, kind)
    if others:
        raise FleetError("SHOP_BROKER_VIA and SHOP_DATABASE_VIA lead to one server, and several are named")
    return server._replace(host=HOST, port=int(first_port) + at.services.index(service)).setting()


def replica_program(at: Layout, service: Service, replica: int, settings: Mapping[str, str]) -> Program:
    """One process of a service: what all of its processes are told, its number and its ports."""
    environment = service_environment(at, service, settings)
    environment |= {
        **ALLOCATOR,
        "SHOP_SERVICE_PORT": str(service.port(at.base, replica)),
        "SHOP_INSTANCE": str(replica),
        "PYTHONUNBUFFERED": "1",
    }
    if service.public:
        environment["SHOP_PUBLIC_PORT"] = str(at.base)
    return Program(f"{service.name}-{replica}", (_python(), "-m", service.module), environment)


def _python() -> str:
    """What services run on: packages of their own, where `.venv` holds tools as well."""
    complete = (SERVICES / "stamp-run").exists()
    return str(SERVICES / "bin" / "python") if complete else sys.executable


def _record(at: Layout) -> dict[str, Any]:
    try:
        record = json.loads((at.run_dir / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
