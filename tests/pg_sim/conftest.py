"""The simulated PG in process, with a shop that takes notices down."""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pg_sim.app import create_app
from pg_sim.settings import SimulatorSettings

SECRET = "sk-of-tests"
QUICK = {"pg_secret": SECRET, "pg_late_s": 0.3, "pg_hang_s": 0.3, "pg_own_cancel_s": 0.1}


class Shop(httpx.AsyncBaseTransport):
    """Where notices arrive; answers with each of `statuses` in turn, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.requests: list[httpx.Request] = []
        self.notices: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.notices.append(json.loads(request.content))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise httpx.ConnectError("the shop is away", request=request)
        return httpx.Response(status)

    def told(self) -> list[str]:
        """The statuses that it was told of, in the order of arrival."""
        return [notice["data"]["status"] for notice in self.notices]


class Pg(httpx.AsyncClient):
    """A shop's way to the PG, and a person's."""

    def __init__(self, app: Any, secret: str = SECRET) -> None:
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://pg", auth=(secret, ""))
        self._app = app

    async def stop(self) -> None:
        """End the simulator, as the service does when it is told to."""
        async with self._app.lifespan():
            pass

    async def key(self, card: str | None = None, **bound: Any) -> str:
        """A payment key, as the widget hands it out."""
        body = bound | ({"card_number": card} if card else {})
        answer = await self.post("/simulator/keys", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["payment_key"]

    async def confirm(
        self, key: str, order_id: str, amount: int = 20_000, once: str | None = None
    ) -> httpx.Response:
        """Confirm a payment."""
        body = {"paymentKey": key, "orderId": order_id, "amount": amount}
        return await self.post("/v1/payments/confirm", json=body, headers=_once(once))

    async def charged(self, card: str | None = None, amount: int = 20_000) -> dict[str, Any]:
        """A charge with this card."""
        answer = await self.confirm(await self.key(card), order_number(), amount)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cancel(
        self, key: str, amount: int | None = None, once: str | None = None, reason: str = "Changed my mind"
    ) -> httpx.Response:
        """Cancel a charge in whole or in part."""
        body: dict[str, Any] = {"cancelReason": reason} | ({"cancelAmount": amount} if amount else {})
        return await self.post(f"/v1/payments/{part(key)}/cancel", json=body, headers=_once(once))

    async def look(self, key: str) -> dict[str, Any]:
        """The payment with this key."""
        return (await self.get(f"/v1/payments/{part(key)}")).json()


Started = Callable[..., Pg]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def start(shop: Shop) -> AsyncIterator[Started]:
    """Starts simulators with these settings (again, with the same journal)."""
    running: list[Pg] = []

    def begin(**settings: Any) -> Pg:
        running.append(Pg(create_app(SimulatorSettings(**(QUICK | settings)), shop)))
        return running[-1]

    yield begin
    for one in running:
        await one.stop()
        await one.aclose()


@pytest.fixture
def pg(start: Started) -> Pg:
    return start()


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "pg.jsonl")


def order_number() -> str:
    """A number that no other charge has."""
    return str(uuid.uuid4())


def refused(answer: httpx.Response) -> tuple[int, str]:
    """The HTTP status and the PG's code."""
    return answer.status_code, answer.json()["code"]


def part(key: str) -> str:
    """A key as a part of a path."""
    return quote(key, safe="")


def _once(key: str | None) -> Mapping[str, str]:
    return {} if key is None else {"Idempotency-Key": key}
