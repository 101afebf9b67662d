"""Where orders are placed: the shop and those beside it, each with items, coupons and buyers of its own.

All of them take `POST /orders` with the same body and answer when the order has ended.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pymysql

from bench.ground import Ground
from bench.load import request
from ops.commands import ADMIN_EMAIL, admin_password
from ops.shop import Session, Shop, persist
from shared.clock import utc_now

ITEMS, BUYERS = 60, 8
PRICE, DISCOUNT = 10_000, 1_000
PLENTY = 10**8
_ROWS = 5_000

_ISSUED = "UPDATE {0}.coupon_policies SET issued = issued + %s WHERE id = %s"
_COUPON_OF_OURS = "INSERT INTO {0}.user_coupons (id, user_id, policy_id, issued_at) VALUES (%s, %s, %s, %s)"
_COUPON_OF_PEERS = "INSERT INTO {0}.user_coupons (id, user_id, discount) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Batch:
    """Orders to place, and what they must have changed once all of them are completed."""

    requests: list[bytes]
    pieces: Counter[int]
    coupons: list[int]


@dataclass(slots=True)
class Market:
    """One place to order at. Its three databases have tables of the same names and meanings as ours."""

    name: str
    port: int
    ground: Ground
    databases: tuple[str, str, str]
    """Of orders, of items, of coupons."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """What a request of each buyer bears."""
    buyers: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    policy: int | None = None
    """Our coupons are of a policy; those beside us say themselves what they take off."""

    def batch(
        self,
        count: int,
        *,
        lines: int = 3,
        items: Sequence[int] | None = None,
        coupon: bool = True,
        wait: int | None = 20,
    ) -> Batch:
        """The next `count` orders: so many different items of one piece each, a new coupon on the first.

        Each is answered when it has ended, after `wait` seconds at most, or with None at once.
        """
        prefer = {} if wait is None else {"prefer": f"wait={wait}"}
        items = items or self.items
        if lines > len(items):
            raise ValueError(f"{lines} lines need as many items, not {len(items)}")
        owners = [number % len(self.buyers) for number in range(count)]
        coupons = self._issue([self.buyers[owner] for owner in owners]) if coupon else []
        pieces: Counter[int] = Counter()
        requests: list[bytes] = []
        for number, owner in enumerate(owners):
            step = 7 if len(items) % 7 else 1
            bought = [items[(number + place * step) % len(items)] for place in range(lines)]
            pieces.update(bought)
            body: list[dict[str, Any]] = [
                {"item_id": item, "quantity": 1, "unit_price": PRICE} for item in bought
            ]
            if coupon:
                body[0] |= {"discounted_price": PRICE - DISCOUNT, "user_coupon_ids": [coupons[number]]}
            requests.append(request("POST", "/orders", {"lines": body}, **prefer, **self.headers[owner]))
        return Batch(requests, pieces, coupons)

    def stock_of(self, item: int) -> int:
        """How many pieces are left."""
        with self.ground.database() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT stock FROM {self.databases[1]}.items WHERE id = %s", [item])
            row = cursor.fetchone()
            return int(row[0]) if row else 0

    def _issue(self, owners: Sequence[int]) -> list[int]:
        """A coupon for each, written straight into the database: handing out is not what is measured."""
        table = self.databases[2]
        with self.ground.database() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}.user_coupons")
            row = cursor.fetchone()
            first = (row[0] if row else 0) + 1
            ids = list(range(first, first + len(owners)))
            insert = (_COUPON_OF_PEERS if self.policy is None else _COUPON_OF_OURS).format(table)
            rest = (DISCOUNT,) if self.policy is None else (self.policy, utc_now().replace(tzinfo=None))
            rows = [(one, owner, *rest) for one, owner in zip(ids, owners, strict=True)]
            for start in range(0, len(rows), _ROWS):
                cursor.executemany(insert, rows[start : start + _ROWS])
            if self.policy is not None:
                cursor.execute(_ISSUED.format(table), [len(rows), self.policy])
        return ids


async def open_shop(ground: Ground) -> Market:
    """The shop itself, with items, a policy and buyers made through its own door."""
    market = Market("Sagamart", ground.at.base, ground, ("order_svc", "item_svc", "coupon_svc"))
    run = uuid4().hex[:8]
    async with Shop(ground.at.gateway_url) as shop:
        admin = await _admin(shop)
        market.items = await _items(admin, ITEMS, PLENTY)
        market.policy = await admin.create_policy(f"bench {run}", DISCOUNT, PLENTY, per_user_limit=None)
        for number in range(BUYERS):
            email, password = f"bench-{run}-{number}@bench.local", f"bench-{run}"
            market.buyers.append(await shop.register(email, "Bench", password))
            session = await persist(lambda: shop.sign_in(email, password))  # noqa: B023  awaited at once
            market.headers.append({"authorization": f"Bearer {(await session.renew()).access_token}"})
    return market


async def new_items(ground: Ground, count: int, stock: int = PLENTY) -> list[int]:
    """More items of the shop, made through its own door."""
    async with Shop(ground.at.gateway_url) as shop:
        return await _items(await _admin(shop), count, stock)


async def _admin(shop: Shop) -> Session:
    return await persist(lambda: shop.sign_in(ADMIN_EMAIL, admin_password()))


async def _items(admin: Session, count: int, stock: int) -> list[int]:
    run = uuid4().hex[:12]
    names = [f"bench {run} {number}" for number in range(count)]
    return await asyncio.gather(*(admin.create_item(name, "-", PRICE, stock) for name in names))


def open_beside(ground: Ground, name: str, word: str) -> Market:
    """A place beside the shop, its tables made, its shelves filled."""
    databases = (f"{word}_order", f"{word}_item", f"{word}_coupon")
    market = Market(name, ground.door(word), ground, databases)
    market.items = list(range(1, ITEMS + 1))
    market.buyers = list(range(1, BUYERS + 1))
    market.headers = [{"x_buyer": str(buyer)} for buyer in market.buyers]
    with ground.database() as connection, connection.cursor() as cursor:
        rows = [(item, PRICE, PLENTY) for item in market.items]
        cursor.executemany(f"INSERT INTO {databases[1]}.items (id, price, stock) VALUES (%s, %s, %s)", rows)
    return market


class WrongBooks(Exception):
    """Orders did not come out as they must; the message says how."""


@contextmanager
def checked(market: Market, batch: Batch) -> Iterator[None]:
    """Place the batch in this block; afterwards its orders must be completed, in all three databases.

    Raises `WrongBooks` unless just these orders were completed and no other one is left in any state, stock
    has fallen by just what they hold, and each coupon is used by an order of its own.
    """
    with market.ground.database() as connection:
        before = _look(connection, market, [])
    yield
    with market.ground.database() as connection:
        after = _look(connection, market, batch.coupons)
    wrong: list[str] = []
    count = len(batch.requests)
    if (done := after.completed - before.completed) != count:
        wrong.append(f"{done} of {count} orders are completed")
    if after.others != before.others:
        wrong.append(f"{after.others - before.others} orders are neither completed nor were so before")
    for item in before.stock:
        if (fell := before.stock[item] - after.stock[item]) != batch.pieces[item]:
            wrong.append(f"the stock of item {item} fell by {fell} instead of {batch.pieces[item]}")
    if (after.used, after.users) != (len(batch.coupons), len(batch.coupons)):
        wrong.append(
            f"of {len(batch.coupons)} coupons {after.used} are used, by {after.users} different orders"
        )
    if wrong:
        raise WrongBooks(f"{market.name}: " + "; ".join(wrong[:10]))


@dataclass(frozen=True, slots=True)
class _Look:
    completed: int
    others: int
    stock: dict[int, int]
    used: int
    users: int


def _look(connection: "pymysql.connections.Connection[Any]", market: Market, coupons: list[int]) -> _Look:
    orders, items, held = market.databases
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*), COALESCE(SUM(status = 'COMPLETED'), 0) FROM {orders}.orders")
        total, completed = (int(number) for number in cursor.fetchone() or (0, 0))
        cursor.execute(f"SELECT id, stock FROM {items}.items")
        stock = {int(item): int(left) for item, left in cursor.fetchall()}
        used = users = 0
        if coupons:
            cursor.execute(
                f"SELECT COUNT(used_by), COUNT(DISTINCT used_by) FROM {held}.user_coupons WHERE id IN %s",
                [coupons],
            )
            used, users = (int(number) for number in cursor.fetchone() or (0, 0))
    return _Look(completed, total - completed, stock, used, users)
