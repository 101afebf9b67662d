"""A payment gateway (PG) over HTTP, in the shape of Toss Payments: confirm, cancel, look up, webhooks."""

import asyncio
import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import Struct

from payment_svc.pg import Card, Finding, NoAnswer, Report
from payment_svc.settings import PaymentSettings
from shared.clock import aware
from shared.logs import log

if TYPE_CHECKING:
    import httpx

PAUSE_S = 0.1
"""Before the next try; doubles each time."""
NOT_NOW = frozenset({401, 408, 409, 425, 429})
"""Answers that decide nothing: wrong credentials of ours, or a twin of the request still at work."""
UNDONE = frozenset({"CANCELED", "PARTIAL_CANCELED"})
DEAD = frozenset({"ABORTED", "EXPIRED"})
WEBHOOK_AGE_S = 300.0
"""An older notice may be a recorded one."""


class Failure(Struct, frozen=True):
    """Why the PG refuses."""

    code: str = "UNKNOWN"
    message: str = ""


class Charge(Struct, frozen=True, rename="camel"):
    """A payment as the PG shows it."""

    payment_key: str
    order_id: str
    status: str
    total_amount: int = 0
    failure: Failure | None = None


class Notice(Struct, frozen=True, rename="camel"):
    """A webhook: something about this payment has changed. Only a hint; the PG is asked what is true."""

    event_type: str
    data: Charge


class Toss:
    """The PG at `url`. `key_prefix` makes a key where the buyer brought none, for a PG that allows it."""

    def __init__(self, url: str, secret: str, *, timeout_s: float, tries: int) -> None:
        import httpx  # costs megabytes, which a shop that is paid with points alone need not have

        self._tries = tries
        self._http = httpx.AsyncClient(
            base_url=url,
            auth=httpx.BasicAuth(secret, ""),
            timeout=timeout_s,
            trust_env=False,
        )

    async def charge(self, card: Card) -> Report:
        """Confirm the payment that the buyer began in the PG's widget."""
        body = {"paymentKey": card.key, "orderId": str(card.payment_id), "amount": card.amount}
        response = await self._send("POST", "/v1/payments/confirm", body, f"charge-{card.payment_id}")
        if response.status_code == 200:
            return _report(_read(response, Charge), card)
        failure = _read(response, Failure)
        if failure.code == "ALREADY_PROCESSED_PAYMENT":
            return await self.look_up(card.payment_id)
        return Report(Finding.REFUSED, failure.code, failure.message)

    async def look_up(self, payment_id: UUID) -> Report:
        """Ask for the payment by our order number."""
        response = await self._send("GET", f"/v1/payments/orders/{payment_id}")
        if response.status_code == 200:
            return _report(_read(response, Charge), None)
        if response.status_code == 404:
            return Report(Finding.NOTHING)
        raise NoAnswer(f"look up: {response.status_code}")

    async def cancel(self, card: Card, reason: str) -> Report:
        """Cancel the payment whole; one that was not confirmed yet is aborted, so that it never will be."""
        path = f"/v1/payments/{card.key}/cancel"
        response = await self._send("POST", path, {"cancelReason": reason}, f"cancel-{card.payment_id}")
        if response.status_code == 200:
            return _report(_read(response, Charge), None)
        failure = _read(response, Failure)
        if failure.code == "ALREADY_CANCELED_PAYMENT":
            return Report(Finding.CANCELLED)
        if failure.code == "NOT_CANCELABLE_PAYMENT":
            return await self.look_up(card.payment_id)
        if response.status_code == 404:
            return Report(Finding.NOTHING)
        raise NoAnswer(f"cancel: {response.status_code} {failure.code}")

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None
    ) -> "httpx.Response":
        """One request, repeated under the same idempotency key while it gets no answer that decides."""
        import httpx

        trouble = ""
        for number in range(self._tries):
            if number:
                await asyncio.sleep(PAUSE_S * 2 ** (number - 1))
            try:
                headers = {"Idempotency-Key": key} if key else {}
                response = await self._http.request(method, path, json=body, headers=headers)
            except httpx.HTTPError as error:
                trouble = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code < 500 and response.status_code not in NOT_NOW:
                    return response
                trouble = f"answered {response.status_code}"
            log.info("pg.no_answer", method=method, path=path, trouble=trouble, attempt=number + 1)
        raise NoAnswer(f"{method} {path}: {trouble}")


@cache
def gateway(settings: PaymentSettings) -> Toss:
    """The PG that the settings name, with its connections."""
    return Toss(settings.pg_url, settings.pg_secret, timeout_s=settings.pg_timeout_s, tries=settings.pg_tries)


def sign(secret: str, payload: str, transmitted_at: str) -> str:
    """The signature of a webhook: HMAC-SHA256 over its body and the time it was sent at, as `v1:<base64>`."""
    digest = hmac.digest(secret.encode(), f"{payload}:{transmitted_at}".encode(), hashlib.sha256)
    return f"v1:{base64.b64encode(digest).decode()}"


def is_genuine(secret: str, payload: str, signature: str, transmitted_at: str, now: datetime) -> bool:
    """Whether a webhook bears one good signature, and is fresh."""
    try:
        sent = aware(datetime.fromisoformat(transmitted_at))
        offered = [base64.b64decode(part.strip().removeprefix("v1:")) for part in signature.split(",")]
    except (ValueError, binascii.Error):
        return False
    expected = base64.b64decode(sign(secret, payload, transmitted_at).removeprefix("v1:"))
    fresh = abs((now - sent).total_seconds()) <= WEBHOOK_AGE_S
    return fresh and any(hmac.compare_digest(one, expected) for one in offered)


def read_notice(payload: str) -> UUID | None:
    """The payment that a webhook is about; None where it is none of ours."""
    try:
        return UUID(msgspec.json.decode(payload, type=Notice).data.order_id)
    except (msgspec.DecodeError, ValueError):
        return None


def _report(charge: Charge, card: Card | None) -> Report:
    if charge.status == "DONE":
        if card is not None and charge.total_amount != card.amount:
            raise NoAnswer(f"charged {charge.total_amount} instead of {card.amount}")
        return Report(Finding.CHARGED)
    failure = charge.failure or Failure(charge.status)
    if charge.status in UNDONE:
        return Report(Finding.CANCELLED, failure.code, failure.message)
    if charge.status in DEAD:
        return Report(Finding.REFUSED, failure.code, failure.message)
    return Report(Finding.NOTHING)


def _read(response: "httpx.Response", kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        raise NoAnswer(f"{response.status_code} with a body that cannot be read") from error
