"""Brings notices to the shop, and brings them again until they are answered with 200."""

import asyncio
from datetime import UTC, datetime

import httpx

from pg_sim.book import Book
from pg_sim.notices import Notice, body, tried_again
from pg_sim.settings import SimulatorSettings
from shared.tls import Tls

PATIENCE_S = 10.0


class Delivery:
    """Sends each of the book's notices at its time; whether it was taken, the book is told."""

    def __init__(
        self, book: Book, settings: SimulatorSettings, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._book = book
        self._settings = settings
        # Hundreds may be due at once after the shop was away: they wait for a connection as long as it takes.
        patience = httpx.Timeout(PATIENCE_S, pool=None)
        trusted = Tls(ca=settings.pg_webhook_ca_file).context() if settings.pg_webhook_ca_file else True
        self._http = httpx.AsyncClient(trust_env=False, timeout=patience, transport=transport, verify=trusted)
        self._alarms: dict[str, asyncio.TimerHandle] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def arm(self) -> None:
        """Set an alarm for every notice that is new, or to be sent again."""
        loop = asyncio.get_running_loop()
        now = datetime.now(UTC)
        for notice in self._book.unplanned_notices():
            wait_s = max(0.0, (notice.due_at - now).total_seconds())
            self._alarms[notice.id] = loop.call_later(wait_s, self._begin, notice.id)

    async def close(self) -> None:
        """Stop; what was not taken stays in the book."""
        for alarm in self._alarms.values():
            alarm.cancel()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._http.aclose()

    def _begin(self, notice_id: str) -> None:
        task = asyncio.create_task(self._send(notice_id))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, notice_id: str) -> None:
        notice, payment = self._book.notices[notice_id]
        taken = await self._post(body(notice, payment))
        del self._alarms[notice_id]
        again: Notice | None = None
        if not taken:
            again = tried_again(notice, datetime.now(UTC), self._settings)
        self._book.settle_notice(notice_id, again)

    async def _post(self, content: bytes) -> bool:
        try:
            answer = await self._http.post(
                self._settings.webhook_url, content=content, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError:
            return False  # the shop is away
        return answer.status_code == 200
