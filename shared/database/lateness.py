"""A commit that comes to nothing when it comes late.

A server that hangs answers nobody, and yet does all that lies in its sockets when it wakes up, long after the
callers were refused; to close or to reset the connection takes nothing back. So the journey of a call's
commit carries a statement that fails after the call's deadline, and what stands behind it, COMMIT, is not
done. What the server's clock shows is asked once for each connection, and from then on both sides count for
themselves: their clocks are never compared.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

TOO_LATE = 1242
"""The error of a question for one row that finds two, which is how the statement fails."""


class ServerClock(NamedTuple):
    """What a server's clock showed (UTC, naive) at a time of our own `time.monotonic`."""

    showed: datetime
    at: float

    def fails_after(self, ends: float) -> str:
        """A statement that fails after a time of `time.monotonic`."""
        moment = self.showed + timedelta(seconds=ends - self.at)
        return f"SET @late = IF(UTC_TIMESTAMP(6) > '{moment}', (SELECT 1 UNION SELECT 2), 0)"
