"""Time: aware UTC in the program, naive UTC in DATETIME(6) columns, and the one step between the two.

A process with a database goes by the database's clock, so that replicas on hosts which disagree about the
time agree about what is due, and a host whose clock is wrong stores no wrong times. The database is asked now
and then; in between, time passes by this host's steady clock. Without a database there is the host's alone.
"""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The time by the clock that this process follows; by the host's own until another has been heard."""

    def __init__(self) -> None:
        self._told: datetime | None = None
        self._told_at = 0.0

    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        if self._told is None:
            return host_now()
        return self._told + timedelta(seconds=time.monotonic() - self._told_at)

    def hear(self, told: datetime, asked_at: float, heard_at: float) -> None:
        """Follow another clock, which told its time between two moments of `time.monotonic`.

        Where that agrees with what was reckoned, nothing changes: time must not jump with each slow answer.
        """
        told = aware(told)
        half = timedelta(seconds=(heard_at - asked_at) / 2)
        middle = (asked_at + heard_at) / 2
        if self._told is not None:
            reckoned = self._told + timedelta(seconds=middle - self._told_at)
            if abs(reckoned - told) <= half:
                return
        self._told, self._told_at = told, middle


_clock = Clock()
hear = _clock.hear


def utc_now() -> datetime:
    """The time now, aware, in UTC, by the clock that this process follows."""
    return _clock.now()


def host_now() -> datetime:
    """The time now, aware, in UTC, as this host has it, right or wrong."""
    return datetime.now(UTC)


def aware(moment: datetime) -> datetime:
    """A DATETIME as the server writes it (naive, UTC by convention), made aware."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def naive(moment: datetime) -> datetime:
    """An aware datetime as the database keeps it: UTC without the offset."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
