"""A fleet of fake services in a folder and on ports of its own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout

DECLARATION = """
[[service]]
name = "order"
module = "tests.fleet.fake_service"
ports = 40

[[service]]
name = "gateway"
module = "tests.fleet.fake_service"
ports = 1
public = true
"""

Environ = dict[str, str]


def free_base() -> int:
    """A block of ports of which none that matters is in use."""
    for base in range(32100, 40000, 100):
        try:
            for offset in (0, 1, 40, 41, 42, 70, 71, 72, 73, 74, 77, 78):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise RuntimeError("no free block of ports")


def describe(folder: Path) -> Environ:
    """The environment of a fleet of fakes with private servers."""
    declaration = folder / "services.toml"
    declaration.write_text(DECLARATION, encoding="utf-8")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SHOP_")},
        "SHOP_PORT_BASE": str(free_base()),
        "SHOP_RUN_DIR": str(folder / "run"),
        "SHOP_SERVICES_FILE": str(declaration),
    }


@pytest.fixture
def fakes(tmp_path: Path, servers: Layout) -> Iterator[Environ]:
    """The environment of a fleet of fakes on the suite's own broker and database; stopped afterwards."""
    environ = describe(tmp_path)
    environ["SHOP_AMQP_URL"] = servers.amqp_url
    environ["SHOP_DATABASE_ADMIN_URL"] = servers.admin_url
    yield environ
    fleet.down(environ)


@pytest.fixture
def private_fakes(tmp_path: Path) -> Iterator[Environ]:
    """The environment of a fleet of fakes with servers of its own, in an oddly named folder."""
    folder = tmp_path / "it's a # folder"
    folder.mkdir()
    environ = describe(folder)
    yield environ
    fleet.reset(environ)
