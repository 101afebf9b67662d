"""Toss Payments: confirm, look up, cancel, transactions by date, notices.

Source: the public documentation of its core API, version 1. Its `orderId` is our payment's number, its
`paymentKey` what the widget gave the buyer.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from payment_svc.pgs import Card, Entry, Finding, NoAnswer, Notice, PaymentGateway, Report
from payment_svc.settings import PaymentSettings
from shared.logs import log

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

KOREA = timezone(timedelta(hours=9))
"""The zone of the PG's own dates."""
CONFIRM_WINDOW_S = 600.0
PAUSE_S = 0.1
"""Before the next try; doubles each time."""
AT_ONCE = 256
"""Connections: as many as payments are asked about at once, or the good would wait for those that hang."""
PAGE = 1000
CURRENCY = "KRW"

NOT_NOW = frozenset({401, 408, 409, 425, 429})
"""Answers that decide nothing: wrong credentials of ours, or a twin of the request still at work."""
TOO_LATE = "NOT_FOUND_PAYMENT_SESSION"
DECLINED = frozenset(
    {
        TOO_LATE,
        "INVALID_REJECT_CARD",
        "INVALID_STOPPED_CARD",
        "INVALID_CARD_EXPIRATION",
        "INVALID_CARD_LOST_OR_STOLEN",
    }
)
"""What decides a charge for good, besides all `REJECT_...`. Any other code leaves its outcome unknown."""
NOT_CANCELABLE = frozenset({"NOT_CANCELABLE_AMOUNT", "NOT_CANCELABLE_PAYMENT", "FORBIDDEN_REQUEST"})
FINDINGS = {
    "DONE": Finding.CHARGED,
    "PARTIAL_CANCELED": Finding.CHARGED,
    "CANCELED": Finding.CANCELLED,
    "ABORTED": Finding.REFUSED,
    "EXPIRED": Finding.REFUSED,
    "READY": Finding.NOTHING,
    "IN_PROGRESS": Finding.NOTHING,
    "WAITING_FOR_DEPOSIT": Finding.NOTHING,
}


class Failure(Struct, frozen=True):
    """Why the PG refuses."""

    code: str = "UNKNOWN"
    message: str = ""


class Payment(Struct, frozen=True, rename="camel"):
    """A payment as the PG shows it. What is left out cannot be compared, and makes the answer unreadable."""

    payment_key: str
    order_id: str
    status: str
    total_amount: int
    balance_amount: int
    currency: str
    failure: Failure | None = None


class Transaction(Struct, frozen=True, rename="camel"):
    """One line of the PG's list of transactions."""

    transaction_key: str
    order_id: str
    status: str
    amount: int
    currency: str
    transaction_at: datetime


class Notified(Struct, frozen=True, rename="camel"):
    """What a notice says of a payment. `DEPOSIT_CALLBACK` says it of itself, without amounts."""

    order_id: str
    status: str = ""
    total_amount: int = 0
    balance_amount: int = 0


class Changed(Struct, frozen=True):
    """The notice `PAYMENT_STATUS_CHANGED`."""

    data: Notified


class Toss:
    """The PG at `url`, which knows the shop by its secret key."""

    confirm_window_s = CONFIRM_WINDOW_S

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_s: float,
        tries: int,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        import httpx  # costs megabytes, which a shop that is paid with points alone need not have

        self._tries = tries
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=url,
            auth=httpx.BasicAuth(secret, ""),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=20),
            trust_env=False,
            transport=transport,
        )

    async def charge(self, card: Card, *, attempt: int) -> Report:
        """Confirm the payment that the buyer began in the PG's widget."""
        body = {"paymentKey": card.key, "orderId": str(card.payment_id), "amount": card.amount}
        # Another question gets another idempotency key: an error that passes must not be answered for ever.
        key = f"charge-{card.payment_id}-{attempt}"
        response = await self._send("confirm", "POST", "/v1/payments/confirm", body, key)
        if response.status_code == 200:
            return _report(_read(response, Payment), card)
        failure = _read(response, Failure)
        if failure.code == "ALREADY_PROCESSED_PAYMENT":
            return await self._whose(card, failure)
        if failure.code in DECLINED or failure.code.startswith("REJECT_"):
            return Report(Finding.REFUSED, 0, failure.code, failure.message)
        raise NoAnswer(f"confirm: {response.status_code} {failure.code}")

    async def look_up(self, card: Card) -> Report:
        """Ask for the payment by our order number."""
        response = await self._send("look up", "GET", f"/v1/payments/orders/{card.payment_id}")
        if response.status_code == 200:
            return _report(_read(response, Payment), card)
        failure = _read(response, Failure)
        if failure.code == "NOT_FOUND_PAYMENT":
            return Report(Finding.NOTHING)
        raise NoAnswer(f"look up: {response.status_code} {failure.code}")

    async def cancel(self, card: Card, reason: str, *, attempt: str, amount: int | None = None) -> Report:
        """Cancel the payment, whole or in part."""
        path = f"{_path(card)}/cancel"
        body = {"cancelReason": reason} | ({} if amount is None else {"cancelAmount": amount})
        response = await self._send("cancel", "POST", path, body, f"cancel-{attempt}")
        if response.status_code == 200:
            return _report(_read(response, Payment), card)
        failure = _read(response, Failure)
        if failure.code == "ALREADY_CANCELED_PAYMENT":
            return await self.look_up(card)
        if failure.code in NOT_CANCELABLE:
            now = await self.look_up(card)
            if now.finding is Finding.CHARGED:
                return Report(Finding.STAYS_CHARGED, now.returned, failure.code, failure.message)
            return now
        raise NoAnswer(f"cancel: {response.status_code} {failure.code}")

    async def transactions(self, since: datetime, until: datetime) -> AsyncIterator[Entry]:
        """Page by page, each after the last line of the one before."""
        asked: dict[str, str | int] = {"startDate": _date(since), "endDate": _date(until), "limit": PAGE}
        while True:
            response = await self._send("transactions", "GET", "/v1/transactions", params=asked)
            if response.status_code != 200:
                raise NoAnswer(f"transactions: {response.status_code} {_read(response, Failure).code}")
            page: list[Transaction] = _read(response, list[Transaction])
            for line in page:
                sign = -1 if line.status in ("CANCELED", "PARTIAL_CANCELED") else 1
                if sign < 0 or line.status == "DONE":
                    at = line.transaction_at
                    at = at if at.tzinfo else at.replace(tzinfo=KOREA)
                    yield Entry(line.order_id, sign * abs(line.amount), line.currency, at)
            if len(page) < PAGE:
                return
            asked["startingAfter"] = page[-1].transaction_key

    def read_notice(self, headers: Mapping[str, str], body: str) -> Notice | None:
        """Notices of payments come unsigned, so there is nothing in the headers to look at."""
        said = _decoded(body, Changed)
        said = said.data if said is not None else _decoded(body, Notified)
        if said is None:
            return None
        finding = FINDINGS.get(said.status, Finding.UNKNOWN)
        return Notice(said.order_id, finding, said.total_amount - said.balance_amount)

    async def _whose(self, card: Card, failure: Failure) -> Report:
        """What became of the key, if the PG has it under our number; otherwise it pays for something else."""
        response = await self._send("look up", "GET", _path(card))
        if response.status_code != 200:
            raise NoAnswer(f"look up: {response.status_code} {_read(response, Failure).code}")
        payment: Payment = _read(response, Payment)
        if payment.order_id != str(card.payment_id):
            return Report(Finding.REFUSED, 0, failure.code, failure.message)
        return _report(payment, card)

    async def _send(
        self,
        what: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        params: dict[str, str | int] | None = None,
    ) -> "httpx.Response":
        """One request, repeated under the same idempotency key while it gets no answer that decides.

        `what` stands for it in logs, where a path would show the buyer's key.
        """
        import httpx

        trouble = ""
        for number in range(self._tries):
            if number:
                await asyncio.sleep(PAUSE_S * 2 ** (number - 1))
            try:
                headers = {"Idempotency-Key": key} if key else {}
                # The client counts its seconds anew with every byte that drips in.
                async with asyncio.timeout(self._timeout_s):
                    response = await self._http.request(
                        method, path, json=body, headers=headers, params=params
                    )
            except (httpx.HTTPError, TimeoutError) as error:
                trouble = type(error).__name__  # its text may show the path, and so the buyer's key
            else:
                if response.status_code < 500 and response.status_code not in NOT_NOW:
                    return response
                trouble = f"answered {response.status_code}"
            log.info("pg.no_answer", what=what, trouble=trouble, attempt=number + 1)
        raise NoAnswer(f"{what}: {trouble}")


def connect(settings: PaymentSettings) -> PaymentGateway:
    """The PG that the settings name."""
    return Toss(settings.pg_url, settings.pg_secret, timeout_s=settings.pg_timeout_s, tries=settings.pg_tries)


def _report(payment: Payment, card: Card) -> Report:
    """What an answer says, if it is about this card's number, key, amount and currency."""
    ours = {"number": str(card.payment_id), "key": card.key, "amount": card.amount, "currency": CURRENCY}
    theirs = {
        "number": payment.order_id,
        "key": payment.payment_key,
        "amount": payment.total_amount,
        "currency": payment.currency,
    }
    differs = ", ".join(name for name, value in theirs.items() if value != ours[name])
    if differs:
        return Report(Finding.CONTRADICTION, 0, "NOT_OURS", f"In the answer differs: {differs}.")
    finding = FINDINGS.get(payment.status)
    if finding is None:
        raise NoAnswer(f"a payment is {payment.status!r}, which is not known to mean anything")
    returned = payment.total_amount - payment.balance_amount
    is_charged = finding is Finding.CHARGED
    if (is_charged and not 0 <= returned < payment.total_amount) or (
        finding is Finding.CANCELLED and payment.balance_amount
    ):
        what = f"It is {payment.status}, with {payment.balance_amount} of {payment.total_amount} left."
        return Report(Finding.CONTRADICTION, 0, "BALANCE", what)
    failure = payment.failure or Failure(payment.status)
    if is_charged:
        return Report(finding, returned)
    return Report(finding, returned if finding is Finding.CANCELLED else 0, failure.code, failure.message)


def _decoded(text: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError):
        return None


def _path(card: Card) -> str:
    """The payment's address by the buyer's key; a key of dots alone would mean another address."""
    return f"/v1/payments/{quote(card.key, safe='').replace('.', '%2E')}"


def _date(moment: datetime) -> str:
    return moment.astimezone(KOREA).replace(tzinfo=None).isoformat(timespec="seconds")


def _read(response: "httpx.Response", kind: Any) -> Any:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswer(f"{response.status_code} with a body that cannot be read") from error
