"""Buyers and items that are new in every run, so that the demo can be run again and again."""

import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from ops.shop import HeldCoupon, Intent, Line, Session, Shop, persist

SHIRT_PRICE = 49_800
# The seeded policies: 3,000 won off, and 15 %.
FIXED, PERCENTAGE = 1, 2


@dataclass
class Stage:
    """The shop, its admin, and what this run brought along."""

    shop: Shop
    admin: Session
    pg_url: str | None = None
    """Where the simulated payment gateway hands out keys for cards."""
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    _count: int = 0

    def new_key(self) -> str:
        """An idempotency key of its own, also good as a part of a name."""
        self._count += 1
        return f"{self.run}-{self._count}"

    async def buyer(self, *, points: int = 0) -> Session:
        """Somebody who has just signed up, with so many points."""
        key = self.new_key()
        email, password = f"demo-{key}@demo.local", secrets.token_urlsafe(12)
        await self.shop.register(email, f"Demo buyer {key}", password)
        session = await persist(lambda: self.shop.sign_in(email, password))
        if points:
            await persist(lambda: session.charge_points(points, key))
        return session

    async def shirt(self, stock: int = 10) -> int:
        """A shirt at 49,800 won that nobody else buys."""
        return await self.admin.create_item(f"Demo shirt {self.new_key()}", "100-M", SHIRT_PRICE, stock)

    async def card_key(self, card_number: str, intent: Intent | None = None) -> str:
        """What the payment gateway's widget gives a buyer who shows this card.

        With an `intent` the key is good for its number and amount alone, as one of a real widget is.
        """
        body: dict[str, object] = {"card_number": card_number}
        if intent is not None:
            body |= {"order_id": intent.payment_id, "amount": intent.amount}
        return (await self._at_pg("/simulator/keys", body))["payment_key"]

    async def cancel_at_pg(self, card_key: str, amount: int | None = None) -> None:
        """Have a person at the payment gateway give so many won of a charge back, or all that is left."""
        body = {} if amount is None else {"amount": amount}
        await self._at_pg(f"/simulator/charges/{quote(card_key, safe='')}/cancel", body)

    async def _at_pg(self, path: str, body: object) -> Any:
        async with httpx.AsyncClient(base_url=self.pg_url or "", trust_env=False) as http:
            return (await http.post(path, json=body)).raise_for_status().json()

    async def stock(self, item_id: int) -> int:
        """Pieces that can be bought now."""
        return (await persist(lambda: self.shop.item(item_id))).available_quantity

    async def coupons(self, buyer: Session, *policies: int) -> list[HeldCoupon]:
        """One coupon of each policy, taken by the buyer."""
        for policy in policies:
            await buyer.take_coupon(policy)
        return sorted(await buyer.coupons(), key=lambda coupon: coupon.id)


def shirts(
    item_id: int,
    quantity: int = 1,
    *,
    unit_price: int = SHIRT_PRICE,
    discounted_price: int | None = None,
    coupons: list[HeldCoupon] | None = None,
) -> Line:
    """A line of shirts."""
    return Line(item_id, quantity, unit_price, discounted_price, [coupon.id for coupon in coupons or []])
