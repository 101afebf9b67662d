"""`./just new-service`: what it makes, in a copy of the tree, passes what every service must, and runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.layout import Layout
from deploy.new_service import Refused, make
from deploy.services import ROOT, load_services

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".run", ".tools", ".venv", ".*_cache", "__pycache__", "build", "bench"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree, to be added to."""
    target = tmp_path / "tree"
    shutil.copytree(ROOT, target, ignore=NOT_COPIED)
    return target


def _run(copy: Path, *arguments: str, **environment: str) -> str:
    """Run a module of the copy; it must succeed."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SHOP_")}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_service_passes_the_checks_of_every_service_and_answers(copy: Path, servers: Layout) -> None:
    said = _run(copy, "deploy.new_service", "parcel")
    assert "./just test tests/parcel_svc" in said
    changed = ("parcel_svc", "tests/parcel_svc", "query_svc/service.py")
    _run(copy, "ruff", "check", *changed)
    _run(copy, "ruff", "format", "--check", *changed)
    left = [
        path.name
        for folder in ("parcel_svc", "tests/parcel_svc")
        for path in (copy / folder).rglob("*.py")
        if "greet_svc" in path.read_text(encoding="utf-8")
    ]
    assert left == []
    _run(
        copy,
        "pytest",
        "-q",
        *("tests/parcel_svc", "tests/fleet/test_compose.py", "tests/contracts/test_registrations.py"),
        "tests/contracts/test_imports.py::test_the_rules_hold",
        "tests/contracts/test_imports.py::test_the_rules_know_every_service",
        SHOP_TEST_AMQP_URL=servers.amqp_url,
        SHOP_TEST_DATABASE_ADMIN_URL=servers.admin_url,
    )


def test_there_is_room_for_three(copy: Path) -> None:
    for name in ("parcel", "mail", "zoo"):
        make(copy, name)
    services = load_services({"SHOP_SERVICES_FILE": str(copy / "deploy" / "services.toml")})
    assert [(one.name, one.ports, one.most) for one in services[-4:-1]] == [
        ("parcel", 90, 3),
        ("mail", 93, 3),
        ("zoo", 96, 3),
    ]
    with pytest.raises(Refused, match="no ports are left"):
        make(copy, "late")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Parcel", "lower-case letters"),
        ("my-parcel", "lower-case letters"),
        ("p", "2 to 20"),
        ("", "2 to 20"),
        ("order", "order_svc is there already"),
        ("greet", "is there already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        make(ROOT, name)
    assert not (ROOT / f"{name}_svc" / "domain.py").exists() or name == "order"
