"""Which tests need servers, which must be run by one process, and which are left out of every day's run."""

from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling

WITH_SERVERS = frozenset({"servers", "private_fakes"})
"""Who has one of these fixtures has a broker and a database."""
OF_THE_WHOLE_SHOP = frozenset({"abuse", "chaos", "console", "shop"})
"""The folders with tests of a whole shop: they are one group, for there is one shop."""
FIRST = ("whole shop", "fleet", "bench", "shared")
"""What takes longest is begun first, so that no worker has a long rest while the other is at it."""


def mark_by_need(items: Iterable[pytest.Item]) -> None:
    """Mark tests by what their fixtures say: `servers` if they need these."""
    for item in items:
        if _fixtures(item) & WITH_SERVERS:
            item.add_marker("servers")


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The tests, those of a group together: who starts another shop on these ports ends the one before."""
    return sorted(items, key=lambda item: _turn(_group(item.nodeid)))


def split_long(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests of every day, and those that are marked as long."""
    every_day: list[pytest.Item] = []
    long: list[pytest.Item] = []
    for item in items:
        (every_day if item.get_closest_marker("long") is None else long).append(item)
    return every_day, long


def _turn(group: str) -> int:
    return FIRST.index(group) if group in FIRST else len(FIRST)


def _group(nodeid: str) -> str:
    """The tests of the whole shop are one group; else a folder is, for its database."""
    folder = nodeid.partition("::")[0].rpartition("/")[0].rpartition("/")[2]
    return "whole shop" if folder in OF_THE_WHOLE_SHOP else folder


class ByGroup(LoadScopeScheduling):
    """Gives each group of tests to one worker.

    The group follows from a test's path: pytest-xdist's own groups are written into the names of tests, which
    pytest 9.2 does not let it do, and so had both workers start a shop.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))
