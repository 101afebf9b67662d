"""The simulated PG as a web application: its API at `/v1`, what no real one has at `/simulator`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from litestar import Litestar, Request, Response, get, route
from litestar.enums import HttpMethod

from pg_sim.api import Api
from pg_sim.book import Book
from pg_sim.delivery import Delivery
from pg_sim.page import Page
from pg_sim.settings import SimulatorSettings

LONGEST_WAIT_S = 3600.0
_BOTH = [HttpMethod.GET, HttpMethod.POST]
_BOTH = [HttpMethod.GET, HttpMethod.POST]


class Simulator:
    """One PG: its book, and what keeps it going while nobody asks for anything."""

    def __init__(self, settings: SimulatorSettings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.book = Book(settings, on_change=self.arm)
        self.api = Api(self.book, settings)
        self.page = Page(self.book)
        self._delivery = Delivery(self.book, settings, transport)
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: datetime | None = None

    def keep_up(self) -> None:
        """Do what is due by now, and see to what is due later."""
        self.book.pass_time()
        self.arm()

    def arm(self) -> None:
        """Set the alarms for what the book says is due later."""
        self._delivery.arm()
        due_at = self.book.next_due()
        if due_at == self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due_at
        if due_at is not None:
            wait_s = (due_at - datetime.now(UTC)).total_seconds()
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(min(max(wait_s, 0.0), LONGEST_WAIT_S), self._ring)

    def _ring(self) -> None:
        self._alarm_at = None
        self.keep_up()

    async def close(self) -> None:
        """Stop; the journal has what is still to be done."""
        if self._alarm is not None:
            self._alarm.cancel()
        await self.api.close()
        await self._delivery.close()


def create_app(settings: SimulatorSettings, transport: httpx.AsyncBaseTransport | None = None) -> Litestar:
    """The simulator as an app; `transport` carries its notices elsewhere than over the network."""
    simulator = Simulator(settings, transport)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        simulator.keep_up()
        yield
        await simulator.close()

    async def keep_up(_: Request[Any, Any, Any]) -> None:
        # Here as well, for an app that is called in process is never told that it starts.
        simulator.keep_up()

    @route(["/v1", "/v1/{rest:path}"], http_method=_BOTH, status_code=200)
    async def api(request: Request[Any, Any, Any]) -> Response[Any]:
        """What a PG answers."""
        return await simulator.api.answer(request)

    @route(["/simulator", "/simulator/{rest:path}"], http_method=_BOTH, status_code=200)
    async def page(request: Request[Any, Any, Any]) -> Response[Any]:
        """What a person sees and does."""
        return await simulator.page.answer(request)

    @get(["/livez", "/readyz"])
    async def ready() -> dict[str, Any]:
        """It runs, and needs nobody."""
        return {"ready": True, "checks": {}}

    return Litestar(
        [api, page, ready],
        before_request=keep_up,
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
    )
