"""The clock that a process follows, and what is told of clocks that differ."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from shared import clock, clocks, metrics
from shared.clock import Clock
from shared.clocks import WINDOW_S, Differences
from shared.database.units import Database

MOMENT = datetime(2026, 5, 4, 9, tzinfo=UTC)


def test_a_process_goes_by_its_hosts_clock_until_it_has_heard_another() -> None:
    heard = Clock()
    assert abs((heard.now() - datetime.now(UTC)).total_seconds()) < 0.5
    now = time.monotonic()
    heard.hear(MOMENT.replace(tzinfo=None), now - 0.02, now)
    assert 0 <= (heard.now() - MOMENT).total_seconds() < 0.5


def test_a_host_whose_clock_is_set_anew_does_not_change_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Clock()
    heard.hear(MOMENT, time.monotonic(), time.monotonic())
    monkeypatch.setattr(clock, "host_now", lambda: MOMENT + timedelta(days=1))
    assert (heard.now() - MOMENT).total_seconds() < 0.5


def test_a_slow_answer_that_may_be_right_does_not_move_the_time() -> None:
    heard, now = Clock(), time.monotonic()
    heard.hear(MOMENT, now, now)
    heard.hear(MOMENT + timedelta(seconds=0.4), now, now + 1.0)  # told at any moment of a second
    assert (heard.now() - MOMENT).total_seconds() < 0.3
    heard.hear(MOMENT + timedelta(hours=1), now, now + 0.01)
    assert (heard.now() - MOMENT).total_seconds() > 3599


async def test_it_is_told_how_far_a_host_is_from_its_database(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "host_now", lambda: datetime.now(UTC) + timedelta(hours=1))
    await clocks.follow(db, "tiny")
    assert metrics.CLOCK_AHEAD_SECONDS.labels("tiny")._value.get() == pytest.approx(3600, abs=2)
    assert (clock.utc_now() - datetime.now(UTC)).total_seconds() == pytest.approx(0, abs=2)


def test_the_smallest_difference_of_the_last_minutes_counts() -> None:
    now = 0.0
    differences = Differences(lambda: now)

    def note(event: str, seconds: float) -> float:
        return differences.note(event, MOMENT, MOMENT + timedelta(seconds=seconds))

    assert note("item.stock_reserved", 3700) == 3700  # late by an outage, or a clock that is behind
    assert note("item.stock_reserved", 0.02) == 0.02
    assert note("item.stock_reserved", 40) == 0.02
    assert note("order.placed", -3600) == -3600
    now = WINDOW_S + 1
    assert note("item.stock_reserved", 50) == 0.02
    now = 2 * WINDOW_S + 2
    assert note("item.stock_reserved", 60) == 50
