"""A crowd that keeps buying while something is done to the shop, and then waits for all it has ordered."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ops.demo.stage import FIXED, SHIRT_PRICE, Stage, shirts
from ops.shop import Line, Order, Session, persist
from tests.support.waiting import eventually

POINTS = 50_000_000
COUPONS = 3
PAUSE_S = 0.08
SETTLE_S = 60.0

# What may become of the crowd's orders, whatever is killed: fulfilled, refused for cause, or given up.
REASONS = {None, "out_of_stock", "coupon_invalid", "timeout", "cancelled_by_buyer"}


@dataclass
class Crowd:
    """Who buys, what, and all orders that the shop has accepted from them."""

    stage: Stage
    buyers: list[Session]
    plenty: int
    scarce: int
    chance: random.Random
    placed: dict[str, Session] = field(default_factory=dict)
    ends: list[Order] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def outcomes(self) -> Counter[str]:
        """How many orders ended how."""
        return Counter(order.status for order in self.ends)

    async def more(self, orders: int, *, within_s: float = 60.0) -> None:
        """Return when so many more orders have been accepted."""
        wanted = len(self.placed) + orders

        async def count() -> int:
            return len(self.placed)

        await eventually(count, holds=lambda placed: placed >= wanted, within_s=within_s)

    async def shop(self, buyer: Session) -> None:
        """One of the crowd: orders all kinds of things, cancels now and then, repeats what got no answer."""
        held = [coupon.id for coupon in await persist(buyer.coupons) if not coupon.used]
        while not self.closing.is_set():
            line, pay_with = self.wish(held)
            key = self.stage.new_key()
            order = await persist(
                lambda line=line, pay_with=pay_with, key=key: buyer.place([line], pay_with=pay_with, key=key)
            )
            self.placed[order.id] = buyer
            await asyncio.sleep(PAUSE_S * self.chance.random())

    def wish(self, held: list[int]) -> tuple[Line, str | None]:
        """Mostly what can be had; sometimes too much, or a coupon for the second time."""
        kind = self.chance.random()
        if kind < 0.4:
            return shirts(self.plenty), None
        if kind < 0.7:
            return shirts(self.plenty, self.chance.randint(1, 3)), "points"
        if kind < 0.85:
            coupon = self.chance.choice(held)
            return Line(self.plenty, 1, SHIRT_PRICE, SHIRT_PRICE - 3_000, [coupon]), self.pays()
        return shirts(self.scarce), self.pays()

    def pays(self) -> str | None:
        """With points or later."""
        return self.chance.choice((None, "points"))

    async def settle(self) -> None:
        """Wait until every order has come to rest, wherever the shop stood when it was placed."""
        self.ends = list(
            await asyncio.gather(
                *(buyer.until_settled(one, timeout_s=SETTLE_S) for one, buyer in self.placed.items())
            )
        )
        stuck = [(order.id, order.status, order.participants) for order in self.ends if not order.settled]
        assert stuck == []
        assert {order.reason for order in self.ends} <= REASONS


@asynccontextmanager
async def crowd(stage: Stage, *, buyers: int = 6, seed: int = 1) -> AsyncIterator[Crowd]:
    """A crowd that shops for as long as the block runs; on the way out, every order of it must settle."""
    people = [await stage.buyer(points=POINTS) for _ in range(buyers)]
    for buyer in people:
        await stage.coupons(buyer, *[FIXED] * COUPONS)
    plenty, scarce = await stage.shirt(stock=100_000), await stage.shirt(stock=5)
    # A seed of its own: what goes wrong once must go wrong again.
    gathered = Crowd(stage, people, plenty, scarce, random.Random(seed))  # noqa: S311
    async with asyncio.TaskGroup() as shoppers:
        for buyer in people:
            shoppers.create_task(gathered.shop(buyer))
        try:
            yield gathered
        finally:
            gathered.closing.set()
    await gathered.settle()
