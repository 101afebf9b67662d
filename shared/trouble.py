"""What fails again and again, and would be silent after the first time: links and jobs.

It is told at once, then each minute while it lasts, with its reason; `/readyz` and a metric say so meanwhile.
"""

import time
from datetime import datetime

from shared import metrics
from shared.clock import utc_now
from shared.logs import log

TOLD_EVERY_SECONDS = 60.0
REASON_LETTERS = 300


class Trouble:
    """One thing that fails or works: a link or a job. `said` is the name of the line in the log."""

    def __init__(self, what: str, said: str) -> None:
        self.what = what
        self.reason: str | None = None
        """Why it failed last; None while it works."""
        self.since: datetime | None = None
        self._said = said
        self._began = 0.0
        self._told = float("-inf")
        self._times = 0
        metrics.FAILING_SECONDS.labels(what).set_function(
            lambda: time.monotonic() - self._began if self.since else 0
        )

    def failed(self, reason: str, error: BaseException | None = None, *, silent_s: float = 0.0) -> None:
        """It has failed (again); nothing is logged before it has failed for `silent_s` seconds."""
        now = time.monotonic()
        if self.since is None:
            self.since, self._began, self._times = utc_now(), now, 0
        self.reason = reason[:REASON_LETTERS]
        self._times += 1
        if now - self._told >= TOLD_EVERY_SECONDS and now - self._began >= silent_s:
            self._told = now
            log.warning(
                self._said,
                what=self.what,
                reason=self.reason,
                since=self.since.isoformat(),
                times=self._times,
                exc_info=error,
            )

    def over(self) -> None:
        """It works (again)."""
        if self.since is not None:
            log.info(f"{self._said}_over", what=self.what, since=self.since.isoformat(), times=self._times)
        self.reason = self.since = None

    def __str__(self) -> str:
        since = self.since.isoformat(timespec="seconds") if self.since else "its beginning"
        return f"since {since}: {self.reason or 'not tried yet'}"
