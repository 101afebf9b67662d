"""The saga under load: `POST /orders` with three lines and a coupon, through HTTP until COMPLETED."""

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import msgspec

from bench.door import Door

ITEMS, BUYERS = 60, 8
PRICE, DISCOUNT = 10_000, 1_000
STOCK = 10**8


class Measured(msgspec.Struct, frozen=True):
    """Orders driven to their end; times in milliseconds from the request to the answer with the end."""

    clients: int
    orders: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    ends: dict[str, int]


class Market:
    """Items with endless stock, and buyers who hold a coupon for every order to come."""

    def __init__(self, host: str, port: int, admin_password: str) -> None:
        self._address = host, port
        self._admin_password = admin_password
        self.items: list[int] = []
        self.tokens: list[str] = []
        self._coupons: list[tuple[int, int]] = []

    async def open(self, orders: int) -> None:
        """Make what `orders` orders need."""
        admin = await self._signed_in("admin@sagamart.local", self._admin_password)
        run = uuid4().hex[:10]
        for number in range(ITEMS):
            body = {"name": f"bench {run} {number}", "size": "-", "price": PRICE, "stock_quantity": STOCK}
            self.items.append((await admin.must("POST", "/items", body))["id"])
        policy = {
            "name": f"bench {run}",
            "kind": "fixed",
            "discount_amount": DISCOUNT,
            "valid_from": "2020-01-01T00:00:00Z",
            "valid_until": "2120-01-01T00:00:00Z",
        }
        policy_id = (await admin.must("POST", "/coupons", policy))["id"]
        await asyncio.gather(*(self._buyer(run, number, policy_id, orders) for number in range(BUYERS)))
        self._coupons.sort(key=lambda held: held[1])
        admin.close()

    def door(self) -> Door:
        """A connection to the shop."""
        return Door(*self._address)

    def order(self, number: int) -> tuple[str, dict[str, Any]]:
        """The token of the buyer and the body of the next order: three items, a coupon on the first."""
        buyer, coupon = self._coupons.pop()
        lines: list[dict[str, Any]] = [
            {"item_id": self.items[(number + step * 7) % ITEMS], "quantity": 1, "unit_price": PRICE}
            for step in range(3)
        ]
        lines[0] |= {"discounted_price": PRICE - DISCOUNT, "user_coupon_ids": [coupon]}
        return self.tokens[buyer], {"lines": lines}

    async def _buyer(self, run: str, number: int, policy_id: int, orders: int) -> None:
        email, password = f"bench-{run}-{number}@bench.local", "bench-password"
        door = Door(*self._address)
        await door.must(
            "POST", "/users", {"email": email, "name": "Bench", "address": "-", "password": password}
        )
        door.close()
        door = await self._signed_in(email, password)
        buyer = len(self.tokens)
        self.tokens.append(door.token or "")
        for _ in range(-(-orders // BUYERS)):
            self._coupons.append((buyer, (await door.must("POST", f"/coupons/{policy_id}/issue"))["id"]))
        door.close()

    async def _signed_in(self, email: str, password: str) -> Door:
        door = Door(*self._address)
        signed_in = await door.must("POST", "/users/login", {"email": email, "password": password})
        door.token = signed_in["access_token"]
        return door


async def closed_loop(market: Market, orders: int, clients: int) -> Measured:
    """`clients` connections, each with the next order as soon as its last one has ended."""
    left = iter(range(orders))
    times: list[float] = []
    ends: Counter[str] = Counter()

    async def client() -> None:
        door = market.door()
        for number in left:
            await _one(market, number, door, times, ends)
        door.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return _measured(clients, orders, time.perf_counter() - started, times, ends)


async def steady(market: Market, per_second: float, seconds: float) -> Measured:
    """An order every `1 / per_second` seconds, whatever became of the ones before."""
    orders = int(per_second * seconds)
    times: list[float] = []
    ends: Counter[str] = Counter()
    doors = [market.door() for _ in range(orders)]
    started = time.perf_counter()
    running: list[asyncio.Task[None]] = []
    for number in range(orders):
        await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        running.append(asyncio.create_task(_one(market, number, doors[number], times, ends)))
    await asyncio.gather(*running)
    elapsed = time.perf_counter() - started
    for door in doors:
        door.close()
    return _measured(0, orders, elapsed, times, ends)


async def _one(market: Market, number: int, door: Door, times: list[float], ends: Counter[str]) -> None:
    door.token, body = market.order(number)
    started = time.perf_counter()
    status, order = await door.ask("POST", "/orders", body, prefer="wait=20")
    times.append(time.perf_counter() - started)
    ends[order["status"] if status in (201, 202) else f"HTTP {status}"] += 1


def _measured(clients: int, orders: int, elapsed: float, times: list[float], ends: Counter[str]) -> Measured:
    ordered = sorted(times)

    def at(share: float) -> float:
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 1)

    return Measured(clients, orders, round(orders / elapsed, 1), at(0.5), at(0.95), at(0.99), dict(ends))
