"""Reads `services.toml`, the one declaration of the services."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds the services' packages; every process is started there."""

MAX_REPLICAS = 9
"""Nine: with ten ports a service, the tenth stays free and a block never touches the next one."""

OFFSETS = (*range(1, 70), *range(90, 99))
"""Where services may listen, counted from the port base; what lies between belongs to servers and tools."""

_KNOWN = {"name", "module", "ports", "database", "public", "replicas", "most", "outside"}
_OUTSIDE = 75
"""The port of what is outside, beside those of broker and database."""


class DeclarationError(ValueError):
    """The declaration of services is wrong; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service as declared: what to start, where it listens, what it owns, how many replicas at `most`."""

    name: str
    module: str
    ports: int
    database: str | None
    public: bool
    replicas: int
    most: int
    outside: bool = False

    def port(self, base: int, replica: int) -> int:
        """The own port of one replica (counted from 1)."""
        return base + self.ports + replica - 1


def load_services(environ: Mapping[str, str] | None = None) -> list[Service]:
    """All services in start order.

    `SHOP_SERVICES_FILE` names another declaration (tests run fleets of their own). Raises DeclarationError.
    """
    environ = os.environ if environ is None else environ
    path = Path(environ.get("SHOP_SERVICES_FILE") or ROOT / "deploy" / "services.toml")
    try:
        rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("service", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DeclarationError(f"{path}: {error}") from error
    services = [_service(path, row) for row in rows]
    _check_apart(path, services)
    return services


def _service(path: Path, row: dict[str, Any]) -> Service:
    name = row.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9]*", name):
        raise DeclarationError(
            f"{path}: a service needs a name of lower-case letters and digits, not {name!r}"
        )
    if unknown := row.keys() - _KNOWN:
        raise DeclarationError(f"{path}: service {name} has unknown keys: {', '.join(sorted(unknown))}")
    outside = bool(row.get("outside", False))
    ports, replicas = row.get("ports"), row.get("replicas", 1)
    most = 1 if outside else row.get("most", MAX_REPLICAS)
    if not isinstance(ports, int):
        raise DeclarationError(f"{path}: service {name} needs `ports`, a number")
    if not isinstance(most, int) or not 1 <= most <= MAX_REPLICAS:
        raise DeclarationError(f"{path}: service {name}: most must be 1 to {MAX_REPLICAS}")
    module = str(row.get("module", f"{name}_svc"))
    database = module if row.get("database", False) else None
    if outside and (database or replicas != 1):
        raise DeclarationError(f"{path}: service {name} is outside: one process, without a database")
    if not isinstance(replicas, int) or not 1 <= replicas <= most:
        raise DeclarationError(f"{path}: service {name}: replicas must be 1 to {most}")
    return Service(name, module, ports, database, bool(row.get("public", False)), replicas, most, outside)


def _check_apart(path: Path, services: list[Service]) -> None:
    """Two services on one port, or with one name, would only show as a puzzling failure at start."""
    owner: dict[int, str] = {}
    names: set[str] = set()
    for service in services:
        if service.name in names:
            raise DeclarationError(f"{path}: two services are called {service.name}")
        names.add(service.name)
        for offset in range(service.ports, service.ports + service.most):
            if offset not in OFFSETS and not (service.outside and offset == _OUTSIDE):
                raise DeclarationError(
                    f"{path}: service {service.name}: ports must lie within 1..69 or 90..98"
                )
            if offset in owner:
                raise DeclarationError(f"{path}: {service.name} and {owner[offset]} share port base+{offset}")
            owner[offset] = service.name
