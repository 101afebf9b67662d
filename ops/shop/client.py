"""The shop's HTTP door: `Shop` for everybody, `Session` for one who has signed in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Self, TypeVar

import httpx
import msgspec
from msgspec import Struct

from deploy.local.tls import trusted
from ops.shop.answers import (
    HeldCoupon,
    Intent,
    Item,
    Line,
    Order,
    Payment,
    PointsBought,
    Quote,
    Sales,
    Timeline,
    Tokens,
)
from ops.shop.refusals import Away, Refused, passing
from shared.errors import ProblemDetails

T = TypeVar("T")

# `Prefer: wait` may hold an answer for 20 s; the rest is for a shop that is busy healing.
TIMEOUT_S = 40.0
# The greatest page that the shop gives.
PAGE = 100


class _SalesPage(Struct, frozen=True):
    items: list[Sales]


class _Id(Struct, frozen=True):
    id: int


class _Balance(Struct, frozen=True):
    balance: int


class _AppliedAmount(Struct, frozen=True):
    discounted_price: int


class _ItemPage(Struct, frozen=True):
    items: list[Item]
    next: int | str | None = None


class _CartLine(Struct, frozen=True):
    item_id: int
    quantity: int


class _Cart(Struct, frozen=True):
    items: list[_CartLine]


class _HeldPage(Struct, frozen=True):
    items: list[HeldCoupon]
    next: int | str | None = None


class Shop:
    """Everybody's way in; `sign_in` gives a `Session` that acts for one person."""

    def __init__(
        self, url: str, *, connections: int = 64, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(TIMEOUT_S, connect=5.0, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
            verify=trusted(url),
            # Proxies of the environment are for the outside world, never for a shop on this machine.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> httpx.Response:
        """One request; raises Refused for a 4xx or 5xx and Away where no answer came."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        try:
            response = await self._http.request(method, path, content=content, params=query, headers=sent)
        except httpx.TransportError as error:
            raise Away(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error
        if response.status_code >= 400:
            raise Refused(response.status_code, _problem(response), _retry_after(response))
        return response

    async def ready(self) -> bool:
        """Whether the gateway says that all is well."""
        try:
            answer = await self.send("GET", "/readyz")
        except (Away, Refused):
            return False
        # It serves while something is away, too: then it is ready, and not all is well.
        return all(result == "ok" for result in answer.json()["checks"].values())

    async def register(self, email: str, name: str, password: str, address: str = "1 Saga Street") -> int:
        """Sign somebody up and return the new user's id; Refused 409 if the e-mail is taken."""
        body = {"email": email, "name": name, "address": address, "password": password}
        return _decode(await self.send("POST", "/users", body=body), _Id).id

    async def sign_in(self, email: str, password: str) -> "Session":
        """A session for a person whose account exists."""
        session = Session(self, email, password)
        await session.renew()
        return session

    async def items(self, ids: Sequence[int]) -> list[Item]:
        """Some items as they are now."""
        query = {"ids": ",".join(map(str, ids))}
        return _decode(await self.send("GET", "/items", query=query), _ItemPage).items

    async def item(self, item_id: int) -> Item:
        """One item as it is now."""
        return _decode(await self.send("GET", f"/items/{item_id}"), Item)

    async def every_item(self) -> AsyncIterator[Item]:
        """The whole catalogue, page by page."""
        after: int | str | None = None
        while True:
            query: dict[str, str | int] = {"limit": PAGE}
            if after is not None:
                query["after"] = after
            page = _decode(await self.send("GET", "/items", query=query), _ItemPage)
            for item in page.items:
                yield item
            if page.next is None:
                return
            after = page.next


class Session:
    """One signed-in person; renews expired tokens by itself, so that a long run does not end with a 401."""

    def __init__(self, shop: Shop, email: str, password: str) -> None:
        self.shop = shop
        self.email = email
        self._password = password
        self._tokens: Tokens | None = None
        self._renewing = asyncio.Lock()

    async def renew(self, stale: Tokens | None = None) -> Tokens:
        """New tokens: by the refresh token, or by the password where there is none or it is refused.

        `stale` is what the caller was refused with: if somebody renewed meanwhile, theirs is returned,
        because a refresh token works once.
        """
        async with self._renewing:
            if self._tokens is not None and self._tokens is not stale:
                return self._tokens
            if stale is not None:
                try:
                    return await self._ask_tokens("/users/refresh", {"refresh_token": stale.refresh_token})
                except Refused as refusal:
                    if refusal.status not in (400, 401, 422):
                        raise
            return await self._ask_tokens("/users/login", {"email": self.email, "password": self._password})

    async def _ask_tokens(self, path: str, body: dict[str, str]) -> Tokens:
        self._tokens = _decode(await self.shop.send("POST", path, body=body), Tokens)
        return self._tokens

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request in this person's name; an expired token is renewed and the request sent once more."""
        tokens = self._tokens or await self.renew()
        for last in (False, True):
            try:
                return await self.shop.send(
                    method, path, body=body, query=query, headers=headers, token=tokens.access_token
                )
            except Refused as refusal:
                if refusal.status != 401 or last:
                    raise
                tokens = await self.renew(tokens)
        raise AssertionError("unreachable")

    async def user_id(self) -> int:
        """Who this is."""
        return _decode(await self.send("GET", "/users/me"), _Id).id

    # Orders

    async def place(
        self,
        lines: Sequence[Line],
        *,
        pay_with: str | None = None,
        card_key: str | None = None,
        payment_id: str | None = None,
        key: str | None = None,
        wait_s: int | None = None,
    ) -> Order:
        """Place an order; with `wait_s` the shop holds its answer until the order is settled or so long.

        `payment_id` is the number that `card_key` was made for, where it was made before. `key` is the
        Idempotency-Key: with it the call may be repeated, and answers the first order again.
        """
        body: dict[str, object] = {"lines": list(lines)}
        if pay_with is not None:
            body["pay_with"] = pay_with
        if card_key is not None:
            body["payment_key"] = card_key
        if payment_id is not None:
            body["payment_id"] = payment_id
        headers: dict[str, str] = {}
        if key is not None:
            headers["Idempotency-Key"] = key
        if wait_s is not None:
            headers["Prefer"] = f"wait={wait_s}"
        return _decode(await self.send("POST", "/orders", body=body, headers=headers), Order)

    async def order(self, order_id: str) -> Order:
        """One order as it is now."""
        return _decode(await self.send("GET", f"/orders/{order_id}"), Order)

    async def timeline(self, order_id: str) -> Timeline:
        """One order's way so far; Refused 503 while the read side is away or has not heard of it."""
        return _decode(await self.send("GET", f"/orders/{order_id}/timeline"), Timeline)

    async def sales(self, since: datetime, until: datetime) -> list[Sales]:
        """As an admin: the sales of the hours from `since` until before `until`."""
        query = {"from": since.isoformat(), "to": until.isoformat(), "bucket": "hour"}
        return _decode(await self.send("GET", "/stats/sales", query=query), _SalesPage).items

    async def cancel(self, order_id: str) -> None:
        """Ask to cancel an order; repeating it changes nothing."""
        await self.send("POST", f"/orders/{order_id}/cancel")

    async def until(
        self, order_id: str, reached: Callable[[Order], bool], *, timeout_s: float = 45.0
    ) -> Order:
        """Look again and again until the order is as wanted; after `timeout_s` return it as it is."""
        return await _look(lambda: self.order(order_id), reached, timeout_s)

    async def until_settled(self, order_id: str, *, timeout_s: float = 45.0) -> Order:
        """The order once it rests: COMPLETED, CANCEL, or a FAIL with nothing to give back."""
        return await self.until(order_id, lambda order: order.settled, timeout_s=timeout_s)

    # Paying

    async def intend(self, *, order_id: str | None = None, amount: int | None = None) -> Intent:
        """The number of a payment, before there is one: for an order to be paid, or for an amount."""
        wish = {"order_id": order_id} if order_id is not None else {"amount": amount}
        return _decode(await self.send("POST", "/payments/intents", body=wish), Intent)

    async def pay(
        self,
        order_id: str,
        method: str,
        *,
        card_key: str | None = None,
        payment_id: str | None = None,
        key: str | None = None,
    ) -> Payment:
        """Pay for a completed order, with points or a card; without `card_key` with a test card."""
        body = {"order_id": order_id, "method": method, "payment_key": card_key, "payment_id": payment_id}
        headers = {"Idempotency-Key": key} if key is not None else {}
        return _decode(await self.send("POST", "/payments", body=body, headers=headers), Payment)

    async def payment(self, payment_id: str) -> Payment:
        """One payment as it is now."""
        return _decode(await self.send("GET", f"/payments/{payment_id}"), Payment)

    async def payment_until(
        self, payment_id: str, reached: Callable[[Payment], bool], *, timeout_s: float = 45.0
    ) -> Payment:
        """Look again and again until the payment is as wanted; after `timeout_s` return it as it is."""
        return await _look(lambda: self.payment(payment_id), reached, timeout_s)

    # Points and coupons

    async def balance(self) -> int:
        """Points in this person's account."""
        return _decode(await self.send("GET", "/points"), _Balance).balance

    async def buy_points(
        self,
        amount: int,
        *,
        card_key: str | None = None,
        payment_id: str | None = None,
        key: str | None = None,
    ) -> PointsBought:
        """Buy points, without `card_key` with a test card; Refused 422 if the card is declined."""
        body = {"amount": amount, "payment_key": card_key, "payment_id": payment_id}
        headers = {"Idempotency-Key": key} if key is not None else {}
        return _decode(await self.send("POST", "/points/charge", body=body, headers=headers), PointsBought)

    async def charge_points(self, amount: int, key: str) -> None:
        """Buy points, once per key, and wait until they are in the account."""
        bought = await self.buy_points(amount, key=key)
        if bought.status == "ASKING":
            await self.payment_until(bought.payment_id, lambda payment: payment.rests)

    async def take_coupon(self, policy_id: int) -> None:
        """Take one coupon of a policy, first come first served."""
        await self.send("POST", f"/coupons/{policy_id}/issue")

    async def coupons(self) -> list[HeldCoupon]:
        """The coupons held, used ones included."""
        return _decode(await self.send("GET", "/users/me/coupons"), _HeldPage).items

    async def discounted_price(self, item_id: int, user_coupon_ids: Sequence[int]) -> int:
        """What one piece costs with these coupons, as the shop reckons it."""
        query = {"item_id": item_id, "user_coupon_ids": ",".join(map(str, user_coupon_ids))}
        answer = await self.send("GET", "/coupons/applied-amount", query=query)
        return _decode(answer, _AppliedAmount).discounted_price

    # Before ordering

    async def cart(self) -> dict[int, int]:
        """How many of which items are in the cart."""
        cart = _decode(await self.send("GET", "/cart"), _Cart)
        return {line.item_id: line.quantity for line in cart.items}

    async def put_in_cart(self, item_id: int, quantity: int) -> None:
        """Have so many of an item in the cart."""
        await self.send("PUT", f"/cart/items/{item_id}", body={"quantity": quantity})

    async def quote(self, wants: Mapping[int, int], *, best_coupons: bool = False) -> Quote:
        """What so many of these items cost now."""
        lines = [{"item_id": item_id, "quantity": quantity} for item_id, quantity in wants.items()]
        body = {"lines": lines, "best_coupons": best_coupons}
        return _decode(await self.send("POST", "/quotes", body=body), Quote)

    # For an admin

    async def refund(self, payment_id: str, amount: int | None = None) -> Payment:
        """Give so many won of a payment back; without `amount` all of it, by cancelling its order."""
        body = None if amount is None else {"amount": amount}
        return _decode(await self.send("POST", f"/payments/{payment_id}/refund", body=body), Payment)

    async def give_points(self, user_id: int, delta: int, reason: str) -> int:
        """Give somebody points, or below 0 take some; returns how many there are now."""
        body = {"delta": delta, "reason": reason}
        return _decode(await self.send("POST", f"/users/{user_id}/points", body=body), _Balance).balance

    async def create_item(self, name: str, size: str, price: int, stock: int) -> int:
        """Put an item on sale and return its id; Refused 409 if name and size are taken."""
        body = {"name": name, "size": size, "price": price, "stock_quantity": stock}
        return _decode(await self.send("POST", "/items", body=body), _Id).id

    async def change_price(self, item: Item, price: int) -> None:
        """Give an item another price; Refused 412 if somebody changed the item since it was read."""
        headers = {"If-Match": f'"{item.version}"'}
        await self.send("PATCH", f"/items/{item.id}", body={"price": price}, headers=headers)

    async def delete_item(self, item: Item) -> None:
        """Take an item off sale; Refused 412 if somebody changed it since it was read."""
        await self.send("DELETE", f"/items/{item.id}", headers={"If-Match": f'"{item.version}"'})

    async def create_policy(
        self, name: str, discount_amount: int, quantity: int, *, per_user_limit: int | None = 1
    ) -> int:
        """Make so many coupons that take a fixed amount off, for those who are quick; returns their id."""
        body = {
            "name": name,
            "kind": "fixed",
            "discount_amount": discount_amount,
            "quantity": quantity,
            "per_user_limit": per_user_limit,
            "valid_from": "2020-01-01T00:00:00Z",
            "valid_until": "2100-01-01T00:00:00Z",
        }
        return _decode(await self.send("POST", "/coupons", body=body), _Id).id

    async def adjust_stock(self, item_id: int, delta: int, reason: str) -> None:
        """Add pieces to an item's stock, or with a negative `delta` take some away."""
        await self.send("POST", f"/items/{item_id}/stock", body={"delta": delta, "reason": reason})


async def _look(look: Callable[[], Awaitable[T]], reached: Callable[[T], bool], timeout_s: float) -> T:
    """What is looked at, once it is as wanted, or as it is after `timeout_s`.

    A shop that is away for a moment is no answer, so looking goes on.
    """
    give_up = monotonic() + timeout_s
    pause = 0.01
    while True:
        try:
            seen = await look()
            if reached(seen) or monotonic() > give_up:
                return seen
        except (Away, Refused) as error:
            if not passing(error) or monotonic() > give_up:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _decode(response: httpx.Response, kind: type[T]) -> T:
    return msgspec.json.decode(response.content, type=kind)


def _problem(response: httpx.Response) -> ProblemDetails:
    try:
        return msgspec.json.decode(response.content, type=ProblemDetails)
    except (msgspec.ValidationError, msgspec.DecodeError):
        # Not a problem detail: whatever answered, say what it said.
        return ProblemDetails(
            type="about:blank",
            title=response.reason_phrase or "Error",
            status=response.status_code,
            detail=response.text[:200],
        )


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
