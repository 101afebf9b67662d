"""What is imported is declared, and what is used of the inside of a library is listed, bounded and there."""

import ast
import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deploy.services import ROOT
from shared import libraries
from shared.libraries import LIBRARIES, Library, untested
from tests.contracts.house import MODULES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IN_CONTAINERS = (*MODULES.values(), "shared", "pg_sim")
TOOLS = ("ops", "deploy")
RUNS = (*IN_CONTAINERS, *TOOLS)
OURS = {*RUNS, "tests", "bench", *(path.name for path in (ROOT / "examples").iterdir())}
OF_TUPLES = {"_replace", "_asdict", "_make"}
"""Begin with `_` for no other reason than not to stand in the way of fields."""
ELSEWHERE = {"nameko", "eventlet"}
"""Of a peer that the benchmark runs in an environment of its own."""


def _requirements(*groups: str) -> dict[str, str]:
    """What is declared: the bounds of each distribution, by its name."""
    lines = [*PROJECT["project"]["dependencies"]]
    for group in groups:
        lines += PROJECT["dependency-groups"][group]
    found = (re.fullmatch(r"([\w-]+)(?:\[\w+\])?(.*)", line) for line in lines)
    return {_plain(one[1]): one[2] for one in found if one}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _trees(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _imported(*folders: str) -> dict[str, Path]:
    """The modules that are imported, standard library and own ones aside, and where."""
    found: dict[str, Path] = {}
    for path, tree in _trees(*folders):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            else:
                continue
            found |= {
                name: path for name in names if name.partition(".")[0] not in sys.stdlib_module_names | OURS
            }
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folders", "groups"),
    [
        (IN_CONTAINERS, ()),
        (TOOLS, ("local",)),
        (("tests",), ("local", "dev")),
        (("bench",), ("local", "dev", "bench")),
    ],
    ids=["services", "tools", "tests", "bench"],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], groups: tuple[str, ...]) -> None:
    declared, known = _requirements(*groups), packages_distributions()
    undeclared: dict[str, str] = {}
    for module, path in _imported(*folders).items():
        package = module.partition(".")[0]
        if not {_plain(one) for one in known.get(package, [package])} & {*declared, *ELSEWHERE}:
            undeclared[package] = str(path.relative_to(ROOT))
    assert undeclared == {}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.name)
def test_a_library_of_which_the_inside_is_used_is_bounded_and_has_its_test(library: Library) -> None:
    assert _requirements()[library.name] == library.tested
    assert (ROOT / library.test).is_file()


@pytest.mark.parametrize("name", [name for one in LIBRARIES for name in one.inner])
def test_each_inner_name_is_there(name: str) -> None:
    module, _, path = name.partition(":")
    owner, _, attribute = path.rpartition(".")
    found = importlib.import_module(module)
    if owner:
        found = getattr(found, owner)
        # What is set in `__init__` has no name in the class, but in its source, or that of one of its bases.
        sources = (inspect.getsource(one) for one in inspect.getmro(found) if one is not object)
        assert hasattr(found, attribute) or any(f"self.{attribute}" in source for source in sources)
    else:
        assert hasattr(found, attribute)


@pytest.mark.slow
def test_each_private_name_that_is_used_is_listed() -> None:
    listed = {part for one in LIBRARIES for name in one.inner for part in re.split(r"[:.]", name)}
    own: set[str] = set()
    used: dict[str, Path] = {}
    for path, tree in _trees(*RUNS):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                if isinstance(node.ctx, ast.Store):
                    own.add(node.attr)
                elif not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                    used[node.attr] = path
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name):
                own.add(node.id)
    used |= {part: path for module, path in _imported(*RUNS).items() for part in module.split(".")}
    private = {name for name in used if re.fullmatch(r"_[a-z]\w*", name)}
    assert {name: str(used[name]) for name in private - own - OF_TUPLES - listed} == {}


def test_a_version_that_nobody_tested_is_named() -> None:
    assert untested() == []
    others = {"aiormq": "7.3.0", "pamqp": "3.3.0", "msgspec": "0.22.9", "uvicorn": "0.54.0.post1"}
    assert untested(lambda name: others.get(name) or version(name)) == [
        "aiormq 7.3.0 is installed, and >=7.2.4,<7.3 is tested",
        "pamqp 3.3.0 is installed, and >=4.0.1,<4.1 is tested",
    ]


def test_a_process_warns_of_it_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    older = LIBRARIES[0]._replace(at_least="1.0", below="1.1")
    monkeypatch.setattr(libraries, "LIBRARIES", (older,))
    with capture_logs() as logged:
        libraries.check()
    [warning] = logged
    assert (warning["log_level"], warning["see"]) == ("warning", "shared/libraries.py")
    assert f"{older.name} {version(older.name)} is installed, and >=1.0,<1.1 is tested" in warning["said"]
