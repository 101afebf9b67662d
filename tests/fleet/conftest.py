"""A fleet of fake services in a folder and on ports of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import fleet
from deploy.local.layout import Layout
from tests.conftest import PROGRAMS
from tests.support.ports import reserve_base

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


def describe(folder: Path) -> Environ:
    """The environment of a fleet of fakes with private servers, of the programs that the suite uses."""
    declaration = folder / "services.toml"
    declaration.write_text(DECLARATION, encoding="utf-8")
    return {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith("SHOP_") or name in PROGRAMS
        },
        "SHOP_PORT_BASE": str(reserve_base()),
        "SHOP_RUN_DIR": str(folder / "run"),
        "SHOP_SERVICES_FILE": str(declaration),
    }


@pytest.fixture
def fakes(tmp_path: Path, servers: Layout) -> Iterator[Environ]:
    """The environment of a fleet of fakes on the suite's own broker and database; stopped afterwards."""
    environ = describe(tmp_path)
    environ["SHOP_AMQP_URL"] = servers.amqp_url
    environ["SHOP_DATABASE_ADMIN_URL"] = servers.admin_url
    environ["SHOP_VERIFY_URL"] = servers.verify_url  # there is one such user, whose password is the suite's
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
