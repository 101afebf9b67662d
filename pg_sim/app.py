"""The simulated PG over HTTP, in the shape of Toss Payments; `/simulator` is what no real one has."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from pg_sim.book import Book, Charge, Refusal
from pg_sim.cards import CARDS, DEFAULT, Manner, manner_of, new_key
from pg_sim.settings import SimulatorSettings

DECLINED = Refusal("REJECT_CARD_COMPANY", "The card's issuer declined the payment.")
WEBHOOK_TRIES = 5


class Confirm(Struct, frozen=True, rename="camel"):
    """What a shop confirms: the payment that the buyer began."""

    payment_key: str
    order_id: Annotated[str, Meta(min_length=6, max_length=64)]
    amount: Annotated[int, Meta(ge=1, le=10**15)]


class Cancel(Struct, frozen=True, rename="camel"):
    """Why a payment is to be cancelled."""

    cancel_reason: str


class CardNumber(Struct, frozen=True):
    """The card that a buyer shows in the widget."""

    card_number: str = DEFAULT


class Simulator:
    """One PG: its book, its manners, and the webhooks that are on their way."""

    def __init__(self, settings: SimulatorSettings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.settings = settings
        self.book = Book(Path(settings.pg_journal) if settings.pg_journal else None)
        self._busy: set[str] = set()
        self._errands: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(trust_env=False, timeout=5.0, transport=transport)

    async def close(self) -> None:
        """Forget the webhooks that are on their way."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        await self._http.aclose()

    async def confirm(self, wish: Confirm) -> Response[Any]:
        """Charge in the manner of the card; the same payment again gets the same answer."""
        manner = manner_of(wish.payment_key)
        if manner is Manner.HANG and self.book.by_key(wish.payment_key) is None:
            await asyncio.sleep(self.settings.pg_hang_s)
            return _refuse(504, Refusal("PROVIDER_ERROR", "There was no answer."))
        if manner is Manner.LATE and self.book.by_key(wish.payment_key) is None:
            if wish.payment_key in self._busy:
                return _refuse(409, Refusal("IDEMPOTENT_REQUEST_PROCESSING", "The first request is at work."))
            return await asyncio.shield(self._errand(self._confirm_late(wish)))
        charge = self._charge(wish, manner)
        if manner is Manner.LOST and charge.status == "DONE":
            return Response(b"", status_code=502)
        return _answer(charge)

    def cancel(self, payment_key: str, wish: Cancel) -> Response[Any]:
        """Give back, or see to it that nothing will be charged; once more changes nothing."""
        before = self.book.by_key(payment_key)
        charge = self.book.cancel(payment_key, wish.cancel_reason)
        if charge != before:
            self._tell(charge, manner_of(payment_key))
        return Response(charge)

    async def _confirm_late(self, wish: Confirm) -> Response[Any]:
        self._busy.add(wish.payment_key)
        try:
            await asyncio.sleep(self.settings.pg_late_s)
            return _answer(self._charge(wish, Manner.LATE))
        finally:
            self._busy.discard(wish.payment_key)

    def _charge(self, wish: Confirm, manner: Manner) -> Charge:
        known = self.book.by_key(wish.payment_key)
        refusal = DECLINED if manner is Manner.DECLINE else None
        charge = self.book.confirm(wish.payment_key, wish.order_id, wish.amount, refusal=refusal)
        if known != charge:
            self._tell(charge, manner)
        return charge

    def _tell(self, charge: Charge, manner: Manner) -> None:
        if manner is Manner.WEBHOOK_NEVER or not charge.order_id:
            return
        delay = self.settings.pg_late_s if manner is Manner.WEBHOOK_LATE else 0.0
        for _ in range(2 if manner is Manner.WEBHOOK_TWICE else 1):
            self._errand(self._send_webhook(charge, delay))

    def _errand(self, work: Any) -> asyncio.Task[Any]:
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)
        return errand

    async def _send_webhook(self, charge: Charge, delay: float) -> None:
        await asyncio.sleep(delay)
        notice = {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": _now(), "data": charge}
        payload = msgspec.json.encode(notice).decode()
        for number in range(WEBHOOK_TRIES):
            sent_at = _now()
            secret = self.settings.pg_webhook_secret.encode()
            digest = hmac.digest(secret, f"{payload}:{sent_at}".encode(), hashlib.sha256)
            headers = {
                "Content-Type": "application/json",
                "Tosspayments-Webhook-Transmission-Time": sent_at,
                "Tosspayments-Webhook-Signature": f"v1:{base64.b64encode(digest).decode()}",
            }
            try:
                url = self.settings.webhook_url
                if (await self._http.post(url, content=payload, headers=headers)).is_success:
                    return
            except httpx.HTTPError:
                pass  # the shop is away: once more in a while
            await asyncio.sleep(2.0**number)


def create_app(settings: SimulatorSettings, transport: httpx.AsyncBaseTransport | None = None) -> Litestar:
    """The simulator as an app; `transport` carries its webhooks elsewhere than over the network."""
    simulator = Simulator(settings, transport)
    credentials = base64.b64encode(f"{settings.pg_secret}:".encode()).decode()

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await simulator.close()

    def check_secret(request: Request[Any, Any, Any]) -> Response[Any] | None:
        asked = request.url.path.startswith("/v1/")
        if asked and request.headers.get("authorization") != f"Basic {credentials}":
            return _refuse(401, Refusal("UNAUTHORIZED_KEY", "The secret key is not valid."))
        return None

    @post("/v1/payments/confirm", status_code=200)
    async def confirm(data: JSONBody[Confirm]) -> Response[Any]:
        """Charge."""
        return await simulator.confirm(data)

    @post("/v1/payments/{payment_key:str}/cancel", status_code=200)
    async def cancel(payment_key: FromPath[str], data: JSONBody[Cancel]) -> Response[Any]:
        """Give back."""
        return simulator.cancel(payment_key, data)

    @get("/v1/payments/orders/{order_id:str}")
    async def look_up(order_id: FromPath[str]) -> Response[Any]:
        """What became of a payment."""
        charge = simulator.book.by_order(order_id)
        return Response(charge) if charge else _refuse(404, Refusal("NOT_FOUND_PAYMENT", "There is none."))

    @post("/simulator/keys", status_code=201)
    async def hand_out_key(data: JSONBody[CardNumber]) -> dict[str, str]:
        """What the PG's widget does: a payment key for a card number."""
        return {"payment_key": new_key(data.card_number)}

    @get("/simulator/cards")
    async def cards() -> dict[str, str]:
        """The card numbers that behave in a way of their own; all others are good."""
        return {number: manner.value for number, manner in CARDS.items()}

    @get("/simulator/charges")
    async def charges() -> list[Charge]:
        """Every payment there is, for those who check the books."""
        return list(simulator.book)

    @get(["/livez", "/readyz"])
    async def ready() -> dict[str, Any]:
        """It runs, and needs nobody."""
        return {"ready": True, "checks": {}}

    return Litestar(
        [confirm, cancel, look_up, hand_out_key, cards, charges, ready],
        before_request=check_secret,
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
    )


def _answer(charge: Charge) -> Response[Any]:
    if charge.status == "DONE":
        return Response(charge)
    if charge.status == "CANCELED":
        return _refuse(400, Refusal("ALREADY_CANCELED_PAYMENT", "The payment was cancelled."))
    return _refuse(403, charge.failure or DECLINED)


def _refuse(status: int, refusal: Refusal) -> Response[Any]:
    return Response(refusal, status_code=status)


def _now() -> str:
    return datetime.now(UTC).isoformat()
