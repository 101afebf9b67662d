"""Whose clock differs: hosts that disagree about the time are told in metrics and in the log."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from shared import clock, metrics
from shared.database.transaction import Reader
from shared.database.units import Database
from shared.logs import log
from shared.messages import service_of

ASK_EVERY_S = 30.0
WINDOW_S = 300.0
"""The smallest difference of the last one or two of these spans counts: late messages hide nothing."""
TOLD_FROM_S = 1.0
"""A host whose clock differs by more is told of in the log, once."""


async def follow(database: Database, service: str) -> None:
    """Ask the database's clock, and go by it from now on. Raises `DatabaseUnavailable`."""

    async def ask(reader: Reader) -> tuple[datetime, float, float]:
        asked_at = time.monotonic()
        row = cast(tuple[Any, ...], await reader.row("SELECT UTC_TIMESTAMP(6)"))
        return row[0], asked_at, time.monotonic()

    clock.hear(*await database.read(ask))
    _tell(service, (clock.host_now() - clock.utc_now()).total_seconds())


_told: dict[str, float] = {}


def _tell(service: str, ahead_s: float) -> None:
    metrics.CLOCK_AHEAD_SECONDS.labels(service).set(ahead_s)
    if abs(ahead_s - _told.get(service, 0.0)) > TOLD_FROM_S:
        log.warning("clock.differs", of=service, ahead_of_database_s=round(ahead_s, 1))
        _told[service] = ahead_s


class Differences:
    """How far this host is ahead of each service, by the events that come from there.

    An event's age on arrival is how long it was under way, and the difference of the clocks. The youngest was
    hardly under way.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._begun: float | None = None
        self._before: dict[str, float] = {}
        self._now: dict[str, float] = {}

    def note(self, event: str, time_of_event: datetime, arrived: datetime) -> float:
        """An event has arrived; returns the smallest difference to its service of late, in seconds."""
        if self._begun is None or self._steady() - self._begun > WINDOW_S:
            self._begun = self._steady()
            self._before, self._now = self._now, {}
        service, seconds = service_of(event), (arrived - time_of_event).total_seconds()
        self._now[service] = min(seconds, self._now.get(service, seconds))
        return min(self._now[service], self._before.get(service, seconds))


_differences = Differences()


def note(event: str, time_of_event: datetime) -> None:
    """Tell in metrics how the clock of an event's service differs from this host's."""
    smallest = _differences.note(event, time_of_event, clock.host_now())
    metrics.CLOCK_DIFFERENCE_SECONDS.labels(service_of(event)).set(smallest)
