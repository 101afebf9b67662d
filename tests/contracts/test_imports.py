"""The import rules of the house hold, cover every service, and notice what breaks them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.services import ROOT
from tests.contracts.house import MODULES


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The house, to be damaged."""
    for package in (*MODULES.values(), "shared", "pg_sim", "ops", "deploy"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_rules_hold() -> None:
    outcome = _lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout


def test_the_rules_know_every_service() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(MODULES.values()) <= set(rules["root_packages"])
    named = {contract["id"]: contract for contract in rules["contracts"]}
    assert set(named["platform"]["forbidden_modules"]) >= set(MODULES.values())
    assert set(named["services"]["modules"]) == set(MODULES.values())
    assert set(named["tools"]["source_modules"]) == {*MODULES.values(), "shared"}
    assert set(named["fronts"]["source_modules"]) == set(MODULES.values())


def test_services_see_at_most_fifteen_modules_of_the_platform_and_one_page_shows_them() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [fronts] = [contract for contract in rules["contracts"] if contract["id"] == "fronts"]
    allowed = [line.removeprefix("** -> ") for line in fronts["ignore_imports"]]
    page = (ROOT / "docs" / "platform.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^## What a service imports\n(.*?)^## ", page, flags=re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"^\| `(shared\.[a-z.]+)` \|", section, flags=re.MULTILINE)) == sorted(allowed)
    assert len(allowed) <= 15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("shared/clock.py", "from item_svc.contracts import GetItems", "The platform knows no service"),
        (
            "order_svc/calls.py",
            "from item_svc.store.stock import record",
            "Services know each other by contracts",
        ),
        ("order_svc/calls.py", "import coupon_svc.domain", "Services know each other by contracts"),
        (
            "gateway/shop/points.py",
            "from payment_svc.store import accounts",
            "Services know each other by contracts",
        ),
        ("item_svc/domain.py", "from shared.database import Transaction", "Rules are pure"),
        ("order_svc/saga.py", "import asyncio", "Rules are pure"),
        ("user_svc/calls.py", "from ops.shop import Shop", "Services do not know the tools"),
        (
            "user_svc/calls.py",
            "from shared.database.pipeline import Pipeline",
            "Services see the fronts of the platform",
        ),
        ("gateway/routes.py", "from shared.events import outbox", "Services see the fronts of the platform"),
        ("order_svc/calls.py", "from shared import registry", "Services see the fronts of the platform"),
    ],
)
def test_an_import_against_the_rules_is_noticed(copy: Path, file: str, line: str, broken: str) -> None:
    path = copy / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    outcome = _lint(copy)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert f"{broken} BROKEN" in " ".join(outcome.stdout.split())


@pytest.mark.slow
def test_a_call_of_another_service_may_be_imported(copy: Path) -> None:
    path = copy / "order_svc" / "calls.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nfrom item_svc.contracts import GetItems\n")
    outcome = _lint(copy)
    assert outcome.returncode == 0, outcome.stdout
