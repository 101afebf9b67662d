"""What the documents name is there: files, functions, recipes, settings, routes, and what links lead to."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploy.services import ROOT
from gateway.docs import openapi
from gateway.docs.openapi import describe
from shared.service.describe import version
from tests.docs.documents import DOCUMENTS, blocks, headings, links, name_of, prose, words
from tests.gateway.fakes import FakeRpc, Signer, gateway

SOURCES = {".py", ".toml", ".html", ".js", ".css", ".yaml", ".txt", ".svg"}
NOT_OURS = {".venv", ".tools", ".run", ".git", "build", "node_modules"}
MADE = re.compile(r"^(\.run|\.tools|\.venv|build|SHOP_RUN_DIR)/")
"""Files that only a run makes."""
ELSEWHERE = {
    "made-by.json",
    "supervisor.log",
    "migrate.log",
    "/.well-known/jwks.json",
    "/asyncapi.json",
    "/openapi.json",
    "/ops/asyncapi.json",
}
"""Files of a run that are named alone, and routes that look like files."""
NOT_MADE_YET = ("parcel_svc", "tests/parcel_svc", "<service>_svc")
"""Of services that the documents make up."""
LIBRARIES = {
    # Of Python, RabbitMQ, MySQL, curl and the libraries: names that are not the project's own.
    *("general_ci", "unicode_ci", "0900_ai_ci", "uca1400_ai_ci", "utf8mb4_unicode_520_ci", "init_connect"),
    *("eq_range_index_dive_limit", "malloc_trim", "write_queue", "_execute_command", "amqp_url"),
    *("JSON_TABLE", "message_id", "app_id", "patterns.RPC"),
}

documents = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


@cache
def files() -> dict[str, list[Path]]:
    """The project's files, by their names."""
    found: dict[str, list[Path]] = {}
    for folder, folders, names in os.walk(ROOT):
        folders[:] = set(folders) - NOT_OURS  # tens of thousands of files are not even looked at
        for name in names:
            found.setdefault(name, []).append(Path(folder, name))
    return found


@cache
def source() -> set[str]:
    """Every word of the source."""
    paths = (path for found in files().values() for path in found if path.suffix in SOURCES)
    return {word for path in paths for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


@cache
def recipes() -> set[str]:
    """The names of the recipes of the justfile that people may call."""
    return set(
        re.findall(r"^([a-z][\w-]*)(?: [^:=]*)?:", (ROOT / "justfile").read_text("utf-8"), re.MULTILINE)
    )


@cache
def routes() -> set[tuple[str, str]]:
    """The gateway's public routes: method, and path with its variables left blank."""
    app: Any = gateway(FakeRpc(), Signer())
    paths: dict[str, Any] = describe(app)["paths"]
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    all_of_them = {
        (method, route.path_format)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
    }
    return {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in described | all_of_them}


def _near(path: Path, named: str) -> list[Path]:
    """The files or folders that a document may mean by a path."""
    roots = (ROOT, path.parent, ROOT / "docs", ROOT / "docs/adr", ROOT / "shared", ROOT / "examples")
    return [root / named for root in roots if (root / named).exists()]


@documents
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


@documents
def test_files_and_folders_that_are_named_exist(path: Path) -> None:
    for word in words(path):
        named = word.rstrip("/")
        is_file = re.fullmatch(r"[\w./-]*\w\.(py|toml|md|yaml|html|css|js|txt|svg|json|jsonl|log|dump)", word)
        if not (is_file or re.fullmatch(r"[\w.-]+(/[\w.-]+)*/", word)) or MADE.match(word):
            continue
        if named.startswith(NOT_MADE_YET):
            continue
        there = _near(path, named) or (is_file and "/" not in word and files().get(word))
        assert there or named in ELSEWHERE, word


@documents
def test_functions_beside_a_file_are_in_it(path: Path) -> None:
    for file, name in re.findall(r"`([\w/]+\.py)`(?:\*\*)?, `(\w+)`", prose(path)):
        [found] = _near(path, file)[:1] or files()[file]
        pattern = rf"^\s*((async )?def|class) {name}\b|^{name}\b"
        assert re.search(pattern, found.read_text(encoding="utf-8"), re.MULTILINE), f"{file}: {name}"


@documents
def test_names_of_the_code_are_in_the_code(path: Path) -> None:
    for word in words(path):
        if not re.fullmatch(r"[a-z]\w*(_\w+)+(\(\))?|_?[a-z]+(_[a-z]+)+|([A-Z][a-z]+){2,}", word):
            continue
        name = word.removesuffix("()")
        assert name in source() or name.lower() in source() or name in LIBRARIES, word


@documents
def test_settings_that_are_named_are_read(path: Path) -> None:
    for name in set(re.findall(r"SHOP_[A-Z][A-Z0-9_]*[A-Z0-9]", path.read_text(encoding="utf-8"))):
        field = name.removeprefix("SHOP_").lower()
        field = re.sub(r"^[a-z]+_svc_", "order_svc_", field)  # each service has one
        assert (
            name in source()
            or field in source()
            or f"SHOP_{field.upper()}" in source()
            or field.removesuffix("_url") in source()
        ), name


@documents
def test_recipes_that_are_named_can_be_called(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    called = set(re.findall(r"\./just ([a-z][\w-]*)", text))
    called -= {"is", "lists", "alone"}  # `./just` itself, in a sentence
    assert called <= recipes()


@documents
def test_routes_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for method, route in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]*)", text):
        if route.startswith(("/simulator", "/v1", "/calls")):
            continue  # of the simulated payment gateway, and of every service
        assert (method, re.sub(r"\{[^}]*\}", "{}", route)) in routes(), f"{method} {route}"


def test_platform_shows_the_example_as_it_is() -> None:
    shown = {}
    for block in blocks(ROOT / "docs/platform.md"):
        if block.language == "python":
            name, _, text = block.text.partition("\n")
            shown[name.removeprefix("# ")] = text
    folder = ROOT / "examples/greet_svc"
    there = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in folder.glob("*.py")
        if path.name != "__init__.py"
    }
    assert shown == there


def test_the_newest_release_is_the_version_that_services_and_documents_show() -> None:
    releases = re.findall(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert releases[0] == version() == openapi.config.version
