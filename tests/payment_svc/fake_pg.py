"""A payment gateway of the tests' own, which answers as its public documentation says, or as a test wants.

It is a transport of the HTTP client, so what the adapter sends is seen just as it would go over the network.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import httpx

from shared.clock import utc_now
from tests.support.waiting import eventually

KOREA = timezone(timedelta(hours=9))
Answer = httpx.Response | Callable[[httpx.Request], httpx.Response] | Exception
HANG = "hang"
"""Never answered, and not done."""
LOST = "lost"
"""Done, but the answer gets lost."""
LATE = "late"
"""The client gives up; it is done when the test says `arrive`."""


def error(status: int, code: str, message: str = "No.") -> httpx.Response:
    """A refusal as the gateway words it."""
    return httpx.Response(status, json={"code": code, "message": message})


class FakePg(httpx.AsyncBaseTransport):
    """Keeps payments by order number; `script` holds what comes next for a kind of request, else it obeys.

    Kinds: confirm, order (look up by order number), key (look up by key), cancel, transactions.
    `always` is like `script`, and is never used up. Both may be narrowed to a payment key.
    """

    def __init__(self) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.entries: list[dict[str, Any]] = []
        self.requests: list[httpx.Request] = []
        self.asked: Counter[str] = Counter()
        self.script: dict[tuple[str, str | None], deque[Answer | str]] = {}
        self.always: dict[tuple[str, str | None], Answer | str] = {}
        self.under_way: list[httpx.Request] = []
        self._answered: dict[str, httpx.Response] = {}

    def next(self, kind: str, *answers: Answer | str, key: str | None = None) -> None:
        """What the next requests of a kind (about a payment key) are answered."""
        self.script.setdefault((kind, key), deque()).extend(answers)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        kind = self._kind(request)
        self.asked[kind] += 1
        match self._planned(kind, request):
            case "hang":
                await asyncio.sleep(3600)
                raise AssertionError("nobody waits for so long")
            case "lost":
                self.done(request)
                raise httpx.ReadError("the line broke", request=request)
            case "late":
                self.under_way.append(request)
                raise httpx.ReadTimeout("no answer", request=request)
            case None:
                return self.done(request)
            case Exception() as error:
                raise error
            case httpx.Response() as response:
                # One that is used again must be as fresh as the first.
                return httpx.Response(
                    response.status_code, headers=response.headers, content=response.content
                )
            case str() as other:
                raise AssertionError(f"no such plan: {other}")
            case make:
                return make(request)

    def later(self, seconds: float) -> None:
        """Let time pass in the list of transactions."""
        for entry in self.entries:
            at = datetime.fromisoformat(entry["transactionAt"]) - timedelta(seconds=seconds)
            entry["transactionAt"] = at.isoformat()

    async def is_asked(self, kind: str) -> None:
        """Wait until this was asked for the first time."""

        async def look() -> int:
            return self.asked[kind]

        await eventually(look)

    def arrive(self) -> None:
        """What was given up by its client is done now."""
        for request in self.under_way:
            self.done(request)
        self.under_way.clear()

    def charge(self, number: object, key: str, amount: int) -> dict[str, Any]:
        """A charge, as if it had been confirmed."""
        payment = {
            "orderId": str(number),
            "paymentKey": key,
            "status": "DONE",
            "totalAmount": amount,
            "balanceAmount": amount,
            "currency": "KRW",
            "cancels": None,
        }
        self.payments[str(number)] = payment
        self._enter(payment, "DONE", amount)
        return payment

    def cancel(self, number: object, amount: int | None = None) -> dict[str, Any]:
        """Cancel by hand, whole or in part."""
        payment = self.payments[str(number)]
        part: int = payment["balanceAmount"] if amount is None else amount
        payment["balanceAmount"] -= part
        payment["status"] = "PARTIAL_CANCELED" if payment["balanceAmount"] else "CANCELED"
        payment["cancels"] = [*(payment["cancels"] or []), {"cancelAmount": part}]
        self._enter(payment, payment["status"], -part)
        return payment

    def held(self) -> dict[str, int]:
        """The won that are charged and not given back, by order number."""
        return {number: one["balanceAmount"] for number, one in self.payments.items() if one["balanceAmount"]}

    def _enter(self, payment: dict[str, Any], status: str, amount: int) -> None:
        self.entries.append(
            {
                "transactionKey": f"t{len(self.entries)}",
                "orderId": payment["orderId"],
                "paymentKey": payment["paymentKey"],
                "status": status,
                "amount": amount,
                "currency": "KRW",
                "transactionAt": utc_now().astimezone(KOREA).isoformat(),
            }
        )

    def _kind(self, request: httpx.Request) -> str:
        path = request.url.raw_path.decode().split("?")[0]
        for kind, begins, ends in (
            ("confirm", "/v1/payments/confirm", "confirm"),
            ("order", "/v1/payments/orders/", ""),
            ("cancel", "/v1/payments/", "/cancel"),
            ("key", "/v1/payments/", ""),
            ("transactions", "/v1/transactions", ""),
        ):
            if path.startswith(begins) and path.endswith(ends):
                return kind
        raise AssertionError(f"there is no {path}")

    def _planned(self, kind: str, request: httpx.Request) -> Answer | str | None:
        for key in (self._key(kind, request), None):
            if self.script.get((kind, key)):
                return self.script[(kind, key)].popleft()
            if (kind, key) in self.always:
                return self.always[(kind, key)]
        return None

    def _key(self, kind: str, request: httpx.Request) -> str:
        parts = request.url.raw_path.decode().split("/")
        if kind == "confirm":
            return json.loads(request.content)["paymentKey"]
        if kind == "order":
            return self.payments.get(parts[4], {}).get("paymentKey", "")
        return unquote(parts[3]) if kind != "transactions" else ""

    def done(self, request: httpx.Request) -> httpx.Response:
        """Obey; the same idempotency key has the same answer, whatever it was."""
        once = request.headers.get("idempotency-key")
        if once is not None and once in self._answered:
            stored = self._answered[once]
            return httpx.Response(stored.status_code, content=stored.content)
        response = self._obeyed(self._kind(request), request)
        if once is not None:
            self._answered[once] = response
        return response

    def _obeyed(self, kind: str, request: httpx.Request) -> httpx.Response:
        key = self._key(kind, request)
        mine = [one for one in self.payments.values() if one["paymentKey"] == key]
        body = json.loads(request.content) if request.content else {}
        match kind:
            case "confirm":
                if body["orderId"] in self.payments or mine:
                    return error(400, "ALREADY_PROCESSED_PAYMENT")
                return httpx.Response(200, json=self.charge(body["orderId"], key, body["amount"]))
            case "order" | "key" if not mine:
                return error(404, "NOT_FOUND_PAYMENT")
            case "order" | "key":
                return httpx.Response(200, json=mine[0])
            case "cancel":
                return self._cancelled(mine, body)
            case _:
                return self._listed(request)

    def _cancelled(self, mine: list[dict[str, Any]], body: dict[str, Any]) -> httpx.Response:
        if not mine:
            return error(404, "NOT_FOUND_PAYMENT")
        if mine[0]["status"] == "CANCELED":
            return error(400, "ALREADY_CANCELED_PAYMENT")
        amount = body.get("cancelAmount")
        if amount is not None and amount > mine[0]["balanceAmount"]:
            return error(403, "NOT_CANCELABLE_AMOUNT")
        return httpx.Response(200, json=self.cancel(mine[0]["orderId"], amount))

    def _listed(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        since, until = (
            datetime.fromisoformat(asked[name]).replace(tzinfo=KOREA) for name in ("startDate", "endDate")
        )
        keys = [one["transactionKey"] for one in self.entries]
        first = keys.index(asked["startingAfter"]) + 1 if "startingAfter" in asked else 0
        # The gateway's dates are without fractions of a second.
        window = [
            one
            for one in self.entries[first:]
            if since
            <= datetime.fromisoformat(one["transactionAt"][:19]).replace(tzinfo=KOREA)
            < until + timedelta(seconds=1)
        ]
        return httpx.Response(200, json=window[: int(asked["limit"])])
