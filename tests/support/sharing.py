"""Which tests need servers, which must be run by one process, and which are left out of every day's run."""

from collections.abc import Iterable

import pytest

WITH_SERVERS = frozenset({"servers", "private_fakes"})
"""Who has one of these fixtures has a broker and a database."""
OF_THE_WHOLE_SHOP = frozenset({"servers", "shop"})
FIRST = ("whole shop", "bench", "fleet", "shared")
"""What takes longest is begun first, so that no worker has a long rest while the other is at it."""


def mark_by_need(items: Iterable[pytest.Item]) -> None:
    """Mark tests by what their fixtures say: `servers` if they need these, and the group they are of."""
    for item in items:
        if _fixtures(item) & WITH_SERVERS:
            item.add_marker("servers")
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The tests, those of a group together: who starts another shop on these ports ends the one before."""
    return sorted(items, key=lambda item: _turn(_group(item)))


def split_long(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests of every day, and those that are marked as long."""
    every_day: list[pytest.Item] = []
    long: list[pytest.Item] = []
    for item in items:
        (every_day if item.get_closest_marker("long") is None else long).append(item)
    return every_day, long


def _turn(group: str) -> int:
    return FIRST.index(group) if group in FIRST else len(FIRST)


def _group(item: pytest.Item) -> str:
    """The tests of the whole shop are one group, for there is one shop; else a folder, for its database."""
    return "whole shop" if _fixtures(item) >= OF_THE_WHOLE_SHOP else item.path.parent.name


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))
