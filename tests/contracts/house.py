"""All services as they are registered, found by the declaration of services."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from deploy.services import load_services
from shared.messages import Call, Event, View
from shared.service.service import Service

MODULES = {declared.name: declared.module for declared in load_services({}) if not declared.outside}
"""The package of every declared service, by its name."""

SERVICES: dict[str, Service] = {
    name: importlib.import_module(f"{module}.service").service for name, module in MODULES.items()
}


def modules(package: str) -> Iterator[ModuleType]:
    """Every module of a package but its entry point and its migrations."""
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if "migrations" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def messages(package: str, kind: type[Any]) -> dict[str, type[Any]]:
    """The subclasses of `Event`, `View` or `Call` that modules of a package name, by their full names."""
    return {
        f"{one.__module__}.{one.__qualname__}": one
        for module in modules(package)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, kind) and one not in (Event, View, Call)
    }
