"""A shop of a few dictionaries behind the HTTP door, for tests of what speaks to it."""

import json
import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

import httpx

NOW = "2026-01-05T10:00:00+00:00"


class FakeShop:
    """Answers like the gateway, decides orders at once, and remembers what it was asked."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {"admin@sagamart.local": "sagamart-admin"}
        self.items: dict[int, dict[str, Any]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.refresh_tokens: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.busy: list[str] = []  # answer 503 once to each of these
        self.expire_after: int | None = None
        self._minted = 0

    def transport(self) -> httpx.MockTransport:
        """Give this to an HTTP client."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        asked = f"{request.method} {re.sub('/[0-9][^/]*', '/ID', path)}"
        self.asked[asked] += 1
        if asked in self.busy:
            self.busy.remove(asked)
            return _problem(503, "Service unavailable", {"Retry-After": "0"})
        body = json.loads(request.content) if request.content else {}
        match asked.split():
            case ["POST", "/users"]:
                if body["email"] in self.users:
                    return _problem(409, "Conflict")
                self.users[body["email"]] = body["password"]
                return httpx.Response(201, json={"id": len(self.users)})
            case ["POST", "/users/login"]:
                if self.users.get(body["email"]) != body["password"]:
                    return _problem(401, "Sign in first")
                return self._mint(body["email"])
            case ["POST", "/users/refresh"]:
                email = self.refresh_tokens.pop(body["refresh_token"], None)
                return self._mint(email) if email else _problem(401, "Sign in first")
            case ["GET", "/items"]:
                return self._items(parse_qs(request.url.query.decode()))
        email = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if email is None:
            return _problem(401, "Sign in first")
        return self._for(email, asked, path, body, request.headers)

    def _for(
        self, email: str, asked: str, path: str, body: dict[str, Any], headers: httpx.Headers
    ) -> httpx.Response:
        match asked.split():
            case ["POST", "/items"]:
                taken = {(item["name"], item["size"]) for item in self.items.values()}
                if (body["name"], body["size"]) in taken:
                    return _problem(409, "Conflict")
                number = len(self.items) + 1
                self.items[number] = {"id": number, "version": 1, **body}
                self.items[number]["available_quantity"] = body["stock_quantity"]
                return httpx.Response(201, json={"id": number})
            case ["POST", "/items/ID/stock"]:
                item = self.items[int(path.split("/")[2])]
                item["available_quantity"] += body["delta"]
                return httpx.Response(200, json=item)
            case ["POST", "/orders"]:
                return self._place(email, body, headers)
            case ["GET", "/orders/ID"]:
                return httpx.Response(200, json=self.orders[path.split("/")[2]])
            case ["POST", "/orders/ID/cancel"]:
                order = self.orders[path.split("/")[2]]
                order |= {"status": "CANCEL", "reason": "cancelled_by_buyer"}
                return httpx.Response(202, json=order)
        return _problem(404, "Not found")

    def _place(self, email: str, body: dict[str, Any], headers: httpx.Headers) -> httpx.Response:
        if len(body["lines"]) > 2000:
            return _problem(422, "Rule broken")
        key = headers.get("Idempotency-Key", f"order {len(self.orders)}")
        if key in self.keys:
            return httpx.Response(201, json=self.orders[self.keys[key]])
        number = f"{len(self.orders) + 1:08d}"
        demand: Counter[int] = Counter()
        for line in body["lines"]:
            demand[line["item_id"]] += line["quantity"]
        served = all(self.items[item]["available_quantity"] >= count for item, count in demand.items())
        if served:
            for item, count in demand.items():
                self.items[item]["available_quantity"] -= count
        order = {
            "id": number,
            "buyer": email,
            "status": "COMPLETED" if served else "FAIL",
            "reason": None if served else "out_of_stock",
            "settled": True,
            "paid": False,
            "total": sum(line["quantity"] * line["unit_price"] for line in body["lines"]),
            "participants": [],
            "version": 1,
            "created_at": NOW,
        }
        self.orders[number] = order
        self.keys[key] = number
        return httpx.Response(201, json=order)

    def _items(self, query: dict[str, list[str]]) -> httpx.Response:
        after, limit = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        page = [item for number, item in sorted(self.items.items()) if number > after]
        following = page[limit - 1]["id"] if len(page) > limit else None
        return httpx.Response(200, json={"items": page[:limit], "next": following})

    def _mint(self, email: str) -> httpx.Response:
        self._minted += 1
        access, refresh = f"access{self._minted}", f"refresh{self._minted}"
        self.tokens[access], self.refresh_tokens[refresh] = email, email
        return httpx.Response(
            200,
            json={
                "access_token": access,
                "refresh_token": refresh,
                "expires_in": 900,
                "token_type": "Bearer",
            },
        )


def _problem(status: int, title: str, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"type": "/problems/x", "title": title, "status": status, "detail": "because"}
    return httpx.Response(status, json=body, headers=headers)
