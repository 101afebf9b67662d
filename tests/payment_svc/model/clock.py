"""The time that a test moves: what every unit of work of both services takes for now."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 5, 4, 9, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def read(self) -> datetime:
        """The time now, aware, in UTC; takes the place of `utc_now`."""
        return self.now

    def move(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self.now += timedelta(seconds=seconds)

    def move_to(self, moment: datetime) -> None:
        """Let time pass until then; it never goes back."""
        self.now = max(self.now, moment)
