"""The PG's own HTTP API, in the shape of Toss Payments': confirm, cancel, look up, list transactions."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Annotated, Any

from litestar import Response
from msgspec import Meta, Struct

from pg_sim.book import Book, Once, Transaction
from pg_sim.cards import TEMPORARY_ERRORS, Manner, OverallManner, manner_of
from pg_sim.payments import CURRENCY, METHOD, SEOUL, Payment, Status, moment, shown
from pg_sim.refusals import Refusal, Refused, refusal
from pg_sim.settings import SimulatorSettings
from pg_sim.web import AnyRequest, body_of, decoded, path_of, refusing

OrderId = Annotated[str, Meta(pattern="^[A-Za-z0-9_=-]{6,64}$")]
Won = Annotated[int, Meta(ge=1, le=10**15)]
BUSY = "FORBIDDEN_CONSECUTIVE_REQUEST"
PAGE = 100
LONGEST_PAGE = 10_000


class Confirm(Struct, frozen=True, rename="camel"):
    """What a shop confirms: the payment that the buyer began."""

    payment_key: Annotated[str, Meta(min_length=1, max_length=200)]
    order_id: OrderId
    amount: Won


class Cancel(Struct, frozen=True, rename="camel"):
    """Why a charge is given back, and how much of it; without an amount all that is left."""

    cancel_reason: Annotated[str, Meta(min_length=1, max_length=200)]
    cancel_amount: Won | None = None


class ShownTransaction(Struct, frozen=True, kw_only=True, rename="camel"):
    """A charge or a cancellation in the PG's JSON."""

    m_id: str = "sagamart"
    transaction_key: str
    payment_key: str
    order_id: str
    currency: str = CURRENCY
    method: str = METHOD
    amount: int
    status: Status
    transaction_at: str


class Api:
    """What is under `/v1`, for those who have the secret key."""

    def __init__(self, book: Book, settings: SimulatorSettings) -> None:
        self._book = book
        self._settings = settings
        self._at_work: set[Once] = set()
        self._confirming: set[str] = set()
        self._errands: set[asyncio.Task[Response[Any]]] = set()

    async def close(self) -> None:
        """Drop what hangs or comes late."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

    async def answer(self, request: AnyRequest) -> Response[Any]:
        """Do what a request asks for, or say in the PG's words why not."""
        try:
            self._check_secret(request.headers.get("authorization", ""))
            if self._book.overall is OverallManner.HANG:
                return await self._hang()
            match request.method, path_of(request.scope):
                case "POST", ["v1", "payments", "confirm"]:
                    answer = await self._confirm(request)
                case "POST", ["v1", "payments", key, "cancel"]:
                    answer = await self._cancel(request, key)
                case "GET", ["v1", "payments", "orders", order_id]:
                    return Response(shown(self._book.by_order(order_id)))
                case "GET", ["v1", "payments", key]:
                    return Response(shown(self._book.by_key(key)))
                case "GET", ["v1", "transactions"]:
                    return Response(self._transactions(request))
                case _:
                    raise Refused("NOT_FOUND")
        except Refused as refused:
            return refusing(refused.refusal)
        if self._book.overall is OverallManner.LOSE_ANSWERS:
            return _lost()
        return answer

    async def _confirm(self, request: AnyRequest) -> Response[Any]:
        wish = decoded(await body_of(request), Confirm)

        async def confirm(once: Once | None) -> Response[Any]:
            if wish.payment_key in self._confirming:
                raise Refused(BUSY)
            self._confirming.add(wish.payment_key)
            try:
                payment = self._book.claim(wish.payment_key, wish.order_id, wish.amount)
                return await self._charge(payment, once)
            finally:
                self._confirming.discard(wish.payment_key)

        return await self._once(request, "confirm", confirm)

    async def _charge(self, payment: Payment, once: Once | None) -> Response[Any]:
        manner = manner_of(payment.card)
        if self._book.overall is OverallManner.DECLINE:
            manner = Manner.DECLINE
        match manner:
            case Manner.DECLINE:
                why = refusal("REJECT_CARD_COMPANY")
                self._book.decline(payment.key, why, once)
                return refusing(why)
            case Manner.TEMPORARY_ERRORS if payment.temporary_errors < TEMPORARY_ERRORS:
                why = refusal("PROVIDER_ERROR")
                self._book.stumble(payment.key, why, once)
                return refusing(why)
            case Manner.HANG:
                return await self._hang()
            case Manner.LATE:
                await asyncio.sleep(self._settings.pg_late_s)
            case _:
                pass
        payment = self._book.approve(payment.key, once)
        return _lost() if manner is Manner.LOST else Response(shown(payment))

    async def _cancel(self, request: AnyRequest, key: str) -> Response[Any]:
        wish = decoded(await body_of(request), Cancel)

        async def cancel(once: Once | None) -> Response[Any]:
            payment = self._book.by_key(key)
            refuses = (
                self._book.overall is OverallManner.REFUSE_CANCELLATIONS
                or manner_of(payment.card) is Manner.CANCEL_REFUSED
            )
            if refuses and payment.status in ("DONE", "PARTIAL_CANCELED"):
                raise Refused("NOT_CANCELABLE_PAYMENT")
            payment = self._book.cancel(key, wish.cancel_amount, wish.cancel_reason, once)
            return Response(shown(payment))

        return await self._once(request, f"cancel {key}", cancel)

    def _transactions(self, request: AnyRequest) -> list[ShownTransaction]:
        wanted = request.query_params
        start, end = _time(wanted.get("startDate"), "startDate"), _time(wanted.get("endDate"), "endDate")
        limit = _limit(wanted.get("limit", str(PAGE)))
        found = self._book.transactions(start, end, wanted.get("startingAfter"), limit)
        return [_shown(transaction) for transaction in found]

    async def _once(
        self,
        request: AnyRequest,
        target: str,
        work: Callable[[Once | None], Coroutine[Any, Any, Response[Any]]],
    ) -> Response[Any]:
        """Do `work` once for an `Idempotency-Key`; again, with any body, it gets the first answer."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return await self._to_its_end(work(None))
        if not 1 <= len(key) <= 300:
            raise Refused("INVALID_IDEMPOTENCY_KEY")
        once = Once(target, key)
        if once in self._at_work:
            raise Refused("IDEMPOTENT_REQUEST_PROCESSING")
        match self._book.answered(once):
            case Refusal() as why:
                return refusing(why)
            case Payment() as payment:
                return Response(shown(payment))
            case None:
                pass

        async def first() -> Response[Any]:
            try:
                return await work(once)
            except Refused as refused:
                if refused.refusal.code != BUSY:  # that one was not looked at, it may be sent again
                    self._book.keep_refusal(once, refused.refusal)
                return refusing(refused.refusal)
            finally:
                self._at_work.discard(once)

        self._at_work.add(once)
        return await self._to_its_end(first())

    async def _to_its_end(self, work: Coroutine[Any, Any, Response[Any]]) -> Response[Any]:
        """Run work that goes on when the caller hangs up: what a PG has begun it ends."""

        async def told() -> Response[Any]:
            try:
                return await work
            except Refused as refused:
                return refusing(refused.refusal)

        errand = asyncio.create_task(told())
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)
        return await asyncio.shield(errand)

    async def _hang(self) -> Response[Any]:
        await asyncio.sleep(self._settings.pg_hang_s)
        return Response(b"", status_code=504)

    def _check_secret(self, authorization: str) -> None:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise Refused("UNAUTHORIZED_KEY", "Send the secret key by Basic authentication.")
        try:
            user, colon, _ = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise Refused("INCORRECT_BASIC_AUTH_FORMAT") from None
        if not colon:
            raise Refused("INCORRECT_BASIC_AUTH_FORMAT")
        if not hmac.compare_digest(user.encode(), self._settings.pg_secret.encode()):
            raise Refused("UNAUTHORIZED_KEY")


def _lost() -> Response[Any]:
    return Response(b"", status_code=502)


def _shown(transaction: Transaction) -> ShownTransaction:
    return ShownTransaction(
        transaction_key=transaction.key,
        payment_key=transaction.payment_key,
        order_id=transaction.order_id,
        amount=transaction.amount,
        status=transaction.status,
        transaction_at=moment(transaction.at),
    )


def _time(text: str | None, name: str) -> datetime:
    """A time of a query: in Seoul unless it says otherwise; a day alone as an end is the whole day."""
    try:
        time = datetime.fromisoformat(text or "")
        if name == "endDate" and len(text or "") <= len("2026-11-02"):
            time += timedelta(days=1, seconds=-1)
    except (ValueError, OverflowError):
        raise Refused(
            "INVALID_REQUEST", f"{name}: expected a time such as 2026-11-02T23:59:59, got {text!r}."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=SEOUL)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= LONGEST_PAGE):
        raise Refused("INVALID_REQUEST", f"limit: expected 1 to {LONGEST_PAGE:,}, got {text!r}.")
    return int(text)
