"""How the console writes things."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.console import words
from gateway.console.queues import rows
from tests.console.samples import ORDER, queue


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0 ms"),
        (0.0124, "12 ms"),
        (1.0, "1 s"),
        (1.239, "1.24 s"),
        (59.5, "59.5 s"),
        (61, "1 min 1 s"),
        (3_723, "1 h 2 min"),
        (300_000, "3 days"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_how_long_something_lasts(seconds: float | None, written: str) -> None:
    assert words.lasting(seconds) == written


def test_money_and_numbers() -> None:
    assert (words.won(49_800), words.won(-1), words.won(None)) == ("₩49,800", "−₩1", "–")  # noqa: RUF001
    assert (words.number(1_234_567), words.number(0.25)) == ("1,234,567", "0.2")


def test_ids_are_told_apart_by_their_end() -> None:
    assert words.tail(ORDER) == "b302099a8057"


def test_an_age_is_there_for_machines_too() -> None:
    since = datetime.now(UTC) - timedelta(seconds=12.5)
    assert ">12 s</time>" in words.age(since)
    assert "data-since=" in words.age(since)


def test_queues_come_with_their_dead_letters_and_without_those_of_single_processes() -> None:
    found = rows(
        [
            queue("item.order.placed", ready=2),
            queue("item.order.placed.dead", ready=1),
            queue("gateway-svc#1.order.completed"),
            queue("rpc.item"),
            queue("item.retry.5s", ready=4, consumers=0),
            queue("query.order", ready=9, consumers=0),
        ],
        {"item.order.placed": 3},
    )
    assert [(row.name, row.owner, row.dead) for row in found] == [
        ("item.order.placed", "item", 4),
        ("rpc.item", "item", 0),
        ("item.retry.5s", "item", 0),
        ("query.order", "query", 0),
    ]
    assert [row.name for row in found if row.is_deserted] == ["query.order"]
    assert [row.name for row in found if not row.is_waiting] == ["rpc.item"]
