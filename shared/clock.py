"""Time: aware UTC in the program, naive UTC in DATETIME(6) columns, and the one step between the two."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def aware(moment: datetime) -> datetime:
    """A DATETIME as the server writes it (naive, UTC by convention), made aware."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def naive(moment: datetime) -> datetime:
    """An aware datetime as the database keeps it: UTC without the offset."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
