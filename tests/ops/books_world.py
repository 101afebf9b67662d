"""Databases of all services with a small shop in them whose books balance, ready to be damaged."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from deploy.databases import connect
from ops.databases import Query, Row, reading
from ops.verify.progress import SERVICES
from tests.support.databases import migrate

# Orders by what became of them.
DONE, CANCELLED, FAILED, OPEN = (f"00000000-0000-7000-8000-00000000000{number}" for number in range(1, 5))
T = "'2026-01-05 10:00:00'"
LATER = "'2026-01-05 10:01:00'"
LINES = (
    '[{"item_id":1,"quantity":1,"unit_price":49800,"discounted_price":39780,"user_coupon_ids":[1,2]},'
    '{"item_id":2,"quantity":2,"unit_price":100,"discounted_price":100},'
    '{"item_id":2,"quantity":1,"unit_price":100,"discounted_price":100}]'
)
ONE_SHIRT = '[{"item_id":1,"quantity":1,"unit_price":49800,"discounted_price":49800,"user_coupon_ids":[]}]'

SOUND = f"""
INSERT INTO order_svc.orders (id, buyer_id, status, reason, settled, paid, pay_with, total, `lines`, version,
                              created_at, updated_at, deadline_at) VALUES
  ('{DONE}', 2, 'COMPLETED', NULL, 1, 1, 'points', 40080, '{LINES}', 4, {T}, {T}, NULL),
  ('{CANCELLED}', 2, 'CANCEL', 'coupon_invalid', 1, 0, 'points', 39780,
   '{ONE_SHIRT.replace("[]", "[3]").replace('discounted_price":49800', 'discounted_price":39780')}', 6,
   {T}, {T}, NULL),
  ('{FAILED}', 2, 'FAIL', 'out_of_stock', 1, 0, NULL, 49800, '{ONE_SHIRT}', 2, {T}, {T}, NULL),
  ('{OPEN}', 3, 'PENDING', NULL, 0, 0, NULL, 49800, '{ONE_SHIRT}', 1, {T}, {T},
   UTC_TIMESTAMP(6) + INTERVAL 1 HOUR);
INSERT INTO order_svc.participants (order_id, name, stand, changed_at, releases) VALUES
  ('{DONE}', 'item', 'YES', {T}, 0), ('{DONE}', 'coupon', 'YES', {T}, 0),
  ('{DONE}', 'payment', 'YES', {T}, 0),
  ('{CANCELLED}', 'item', 'RELEASED', {T}, 1), ('{CANCELLED}', 'coupon', 'NO', {T}, 0),
  ('{CANCELLED}', 'payment', 'RELEASED', {T}, 1),
  ('{FAILED}', 'item', 'NO', {T}, 0),
  ('{OPEN}', 'item', 'AWAITING', {T}, 0);
INSERT INTO user_svc.users (id, email, email_key, name, address, password_hash, role, state,
                            created_at) VALUES
  (2, 'kim@mail.example', 'kim@mail.example', 'Kim', 'Seoul', '-', 'customer', 'ACTIVE', {T}),
  (3, 'lee@mail.example', 'lee@mail.example', 'Lee', 'Seoul', '-', 'customer', 'ACTIVE', {T});
INSERT INTO user_svc.notifications (user_id, order_id, kind, reason, amount, created_at) VALUES
  (2, '{CANCELLED}', 'order_failed', 'coupon_invalid', NULL, {T}),
  (2, '{CANCELLED}', 'payment_refunded', NULL, 39780, {T}),
  (2, '{FAILED}', 'order_failed', 'out_of_stock', NULL, {T});
INSERT INTO item_svc.items (id, name, size, price, stock, initial_stock, version, retired, created_at,
                            changed_at) VALUES
  (1, 'Shirt', 'M', 49800, 13, 10, 1, 0, {T}, {T}),
  (2, 'Sock', '-', 100, 2, 5, 1, 0, {T}, {T});
INSERT INTO item_svc.stock_history (item_id, order_id, delta, balance, cause, at) VALUES
  (1, NULL, 10, 10, 'initial', {T}), (2, NULL, 5, 5, 'initial', {T}), (1, NULL, 5, 15, 'adjustment', {T}),
  (1, '{DONE}', -1, 14, 'order', {T}), (2, '{DONE}', -3, 2, 'order', {T}),
  (1, '{CANCELLED}', -1, 13, 'order', {T}), (1, '{CANCELLED}', 1, 14, 'release', {T}),
  (1, '{OPEN}', -1, 13, 'order', {T});
INSERT INTO item_svc.item_claims (order_id, state, reason, created_at, changed_at) VALUES
  ('{DONE}', 'HELD', NULL, {T}, {T}), ('{CANCELLED}', 'RELEASED', NULL, {T}, {T}),
  ('{FAILED}', 'REJECTED', 'out_of_stock', {T}, {T}), ('{OPEN}', 'HELD', NULL, {T}, {T});
INSERT INTO item_svc.cart_lines (user_id, item_id, quantity, changed_at) VALUES (2, 1, 1, {LATER});
INSERT INTO item_svc.cart_takings (order_id, state, user_id, pieces, changed_at) VALUES
  ('{DONE}', 'TAKEN', 2, '{{"2":3}}', {T}), ('{CANCELLED}', 'RETURNED', 2, '{{"1":1}}', {T}),
  ('{FAILED}', 'RETURNED', NULL, NULL, {T}), ('{OPEN}', 'TAKEN', 3, '{{"1":1}}', {T});
INSERT INTO coupon_svc.item_prices (item_id, price, version, deleted) VALUES (1, 49800, 1, 0);
INSERT INTO coupon_svc.coupon_policies (id, name, kind, value, valid_from, valid_until, quantity,
                                        per_user_limit, floor_price, issued, created_at) VALUES
  (1, 'Off', 'fixed', 3000, {T}, {T}, 2, 1, 0, 2, {T}),
  (2, 'Off', 'percentage', 15, {T}, {T}, NULL, NULL, 0, 1, {T});
INSERT INTO coupon_svc.user_coupons (id, user_id, policy_id, used_by, used_at, issued_at) VALUES
  (1, 2, 1, '{DONE}', {T}, {T}), (2, 2, 2, '{DONE}', {T}, {T}), (3, 3, 1, NULL, NULL, {T});
INSERT INTO coupon_svc.coupon_uses (order_id, user_coupon_id, used_at, released_at) VALUES
  ('{DONE}', 1, {T}, NULL), ('{DONE}', 2, {T}, NULL), ('{FAILED}', 3, {T}, {T});
INSERT INTO coupon_svc.coupon_claims (order_id, state, reason, created_at, changed_at) VALUES
  ('{DONE}', 'HELD', NULL, {T}, {T}), ('{CANCELLED}', 'REJECTED', 'coupon_invalid', {T}, {T});
INSERT INTO payment_svc.accounts (user_id, balance, state, opened_at) VALUES
  (2, 959920, 'OPEN', {T}), (3, 0, 'OPEN', {T});
INSERT INTO payment_svc.ledger (user_id, delta, balance, kind, order_id, payment_id, at) VALUES
  (2, 1000000, 1000000, 'opening', NULL, NULL, {T}),
  (2, -40080, 959920, 'capture', '{DONE}', 'p1', {T}),
  (2, -39780, 920140, 'capture', '{CANCELLED}', 'p2', {T}),
  (2, 39780, 959920, 'refund', '{CANCELLED}', 'p2', {T});
INSERT INTO payment_svc.payments (order_id, payment_id, attempt, state, user_id, method, amount, details,
                                  asks, created_at, changed_at) VALUES
  ('{DONE}', 'p1', 0, 'HELD', 2, 'points', 40080, '{{}}', 0, {T}, {T}),
  ('{CANCELLED}', 'p2', 0, 'RELEASED', 2, 'points', 39780, '{{}}', 0, {T}, {T})
"""


class World:
    """The databases, under names of their own beside those of a running shop."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self.prefix = f"test_books_{uuid4().hex[:8]}_"

    def own(self, sql: str) -> str:
        """The statement, meant for these databases instead of the shop's."""
        return re.sub(rf"\b({'|'.join(SERVICES)})_svc\.", rf"{self.prefix}\1_svc.", sql)

    def run(self, *statements: str) -> None:
        """Change something, as no service would."""
        with connect(self.admin_url) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(self.own(statement))

    def refill(self) -> None:
        """Back to the books that balance."""
        with connect(self.admin_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables"
                " WHERE table_schema LIKE %s AND table_name <> 'tortoise_migrations'",
                (self.prefix.replace("_", r"\_") + "%",),
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f"DELETE FROM {table}")
        self.run(*SOUND.split(";"))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Query]:
        """What the checks ask with, led to these databases."""
        async with reading(self.admin_url) as query:

            async def ask(sql: str, args: Sequence[Any]) -> list[Row]:
                return await query(self.own(sql), args)

            yield ask


@asynccontextmanager
async def books_world(admin_url: str) -> AsyncIterator[World]:
    """Create, migrate and drop the databases."""
    world = World(admin_url)
    names = [f"{world.prefix}{service}_svc" for service in SERVICES]
    server = admin_url[: -len(urlsplit(admin_url).path)] if urlsplit(admin_url).path else admin_url
    try:
        await asyncio.to_thread(world.run, *(f"CREATE DATABASE {name}" for name in names))
        await asyncio.gather(
            *(
                migrate(f"{service}_svc", f"{server}/{name}", seed=False)
                for service, name in zip(SERVICES, names, strict=True)
            )
        )
        yield world
    finally:
        await asyncio.to_thread(world.run, *(f"DROP DATABASE IF EXISTS {name}" for name in names))
