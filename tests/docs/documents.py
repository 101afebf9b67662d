"""The documents of the project, and what stands in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from deploy.services import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a document."""

    language: str
    text: str


def name_of(path: Path) -> str:
    """A document's path, as tests are called by."""
    return str(path.relative_to(ROOT))


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document, in their order."""
    return [Block(*found.groups()) for found in _FENCE.finditer(path.read_text(encoding="utf-8"))]


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def words(path: Path) -> Iterator[str]:
    """What stands in `backticks`."""
    return (found[1] for found in _CODE.finditer(prose(path)))


def links(path: Path) -> Iterator[str]:
    """Where a document's links lead to."""
    return (found[1] for found in _LINK.finditer(prose(path)))


def headings(path: Path) -> set[str]:
    """The anchors of a document's headings, as pages are made of it."""
    found = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}
