"""People who buy in every way there is while the shop is broken, and what each of them was told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TypeVar

import httpx
import msgspec

from ops.chaos.journal import Journal, Wanted
from ops.demo.stage import Stage
from ops.shop import Away, HeldCoupon, Line, Order, Refused, Session, passing, persist
from shared.errors import OutcomeUnknown

T = TypeVar("T")

PRICE = 49_800
OFF = 3_000
DECLINED, LATE, LOST = "4000000000000002", "4000000000000119", "4000000000000127"
POINTS = 100_000_000
MANY = 1_000_000
PATIENCE_S = 60.0
"""So long a client repeats a request that is refused for a moment or not answered."""
SETTLE_S = 90.0
"""An order's deadline of 30 s, one more after an outage, and the giving back after it."""
LOOK_S = 0.2
"""Between two looks at an order."""
PLACE, READ = "POST /orders", "GET /orders/ID"
MOST_AT_ONCE = 250
"""More do not come in while so many are still waiting for what they want."""

_OUTCOME_UNKNOWN = f"/problems/{OutcomeUnknown.slug}"

KINDS = {
    "unpaid": 16,
    "points": 18,
    "card": 12,
    "declined card": 4,
    "card with a lost answer": 3,
    "card with a late answer": 2,
    "coupon": 10,
    "out of stock": 5,
    "cancelled at once": 6,
    "cancelled when done": 4,
    "paid later with points": 5,
    "paid later by card": 5,
    "refunded": 4,
    "asked twice": 6,
    "from a cart": 4,
    "asked once": 6,
}
"""Ways to buy, and how often each is chosen."""


@dataclass
class Purchase:
    """One person's purchase, and what the shop said about it."""

    number: int
    kind: str
    buyer_id: int
    key: str
    orders: set[str] = field(default_factory=set)
    """Ids that the shop gave for it: one, however often it was asked."""
    payments: set[str] = field(default_factory=set)
    outcome: str = "unknown"
    """`accepted`, `refused: ...`, `unavailable` (503: nothing was done) or `unknown` (no answer came)."""
    troubles: list[str] = field(default_factory=list)
    """What the shop said that it should not have said."""


@dataclass
class Crowd:
    """Everybody who buys, and all that they were told."""

    stage: Stage
    journal: Journal
    buyers: list[tuple[Session, int]]
    plenty: int
    scarce: int
    policy: int
    seed: int
    purchases: list[Purchase] = field(default_factory=list)

    async def buy(self, orders: int, seconds: float) -> None:
        """So many purchases, evenly over so many seconds; returns when each has come to what it comes to."""
        free = asyncio.Semaphore(MOST_AT_ONCE)
        started = monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(orders):
                await asyncio.sleep(started + seconds * number / orders - monotonic())
                await free.acquire()
                task = group.create_task(self._purchase(number))
                task.add_done_callback(lambda _: free.release())

    async def look(self) -> None:
        """Read the order that was accepted last, and an item, again and again until cancelled."""
        sessions = {buyer_id: session for session, buyer_id in self.buyers}
        while True:
            accepted = next((one for one in reversed(self.purchases) if one.orders), None)
            with suppress(Away, Refused):  # it is noted, and the next look is made all the same
                if accepted is not None:
                    session, order_id = sessions[accepted.buyer_id], min(accepted.orders)
                    await self.until_answered(READ, partial(session.order, order_id))
                await self.until_answered("GET /items/ID", partial(self.stage.shop.item, self.plenty))
            await asyncio.sleep(LOOK_S)

    async def until_answered(self, what: str, act: Callable[[], Awaitable[T]]) -> T:
        """What an act comes to, repeated while it is refused for a moment; how long that took is noted."""
        began_s = self.journal.now()
        answered = False
        try:
            done = await persist(act, timeout_s=PATIENCE_S)
            answered = True
            return done
        except Refused as refusal:
            answered = not passing(refusal)
            raise
        finally:
            self.note(what, began_s, answered)

    def note(self, what: str, began_s: float, answered: bool) -> None:
        """Somebody has got what he wanted, or has given up."""
        self.journal.wants.append(Wanted(what, began_s, self.journal.now(), answered))

    async def _purchase(self, number: int) -> None:
        # Of its own, so that what somebody does never depends on who was served first.
        chance = random.Random(f"{self.seed} {number}")  # noqa: S311 - to be repeated, not to be secret
        session, buyer_id = chance.choice(self.buyers)
        [kind] = chance.choices(list(KINDS), list(KINDS.values()))
        purchase = Purchase(number, kind, buyer_id, f"chaos-{self.stage.run}-{number}")
        self.purchases.append(purchase)
        try:
            await _Buying(self, session, purchase, chance).buy()
        except Away:
            if not purchase.orders:
                purchase.outcome = "unknown"
        except Refused as refusal:
            if not purchase.orders:
                purchase.outcome = _refusal(refusal, asked_once=kind == "asked once")
            elif not passing(refusal):
                purchase.troubles.append(f"afterwards refused: {refusal}")


def _refusal(refusal: Refused, *, asked_once: bool) -> str:
    if passing(refusal):
        # Of many tries the last one says nothing about those before.
        certain = asked_once and refusal.problem.type != _OUTCOME_UNKNOWN
        return "unavailable" if certain else "unknown"
    return f"refused: {refusal.status} {refusal.problem.title}"


class _Buying:
    """One purchase as it goes on."""

    def __init__(self, crowd: Crowd, session: Session, purchase: Purchase, chance: random.Random) -> None:
        self._crowd = crowd
        self._session = session
        self._purchase = purchase
        self._chance = chance

    async def buy(self) -> None:
        line = Line(self._crowd.plenty, self._chance.randint(1, 3), PRICE)
        match self._purchase.kind:
            case "unpaid":
                await self._read(await self._place(line))
            case "points":
                await self._read(await self._place(line, "points"))
            case "card":
                await self._place(line, "card")
            case "declined card":
                await self._place(line, "card", DECLINED)
            case "card with a lost answer":
                await self._place(line, "card", LOST)
            case "card with a late answer":
                await self._place(line, "card", LATE)
            case "coupon":
                await self._with_coupon()
            case "out of stock":
                await self._place(Line(self._crowd.scarce, 2, PRICE), "points")
            case "cancelled at once":
                await self._cancel(await self._place(line, self._chance.choice(("points", None))))
            case "cancelled when done":
                if order := await self._completed(line, "points"):
                    await self._cancel(order)
            case "paid later with points":
                await self._pay(await self._completed(line), "points")
            case "paid later by card":
                await self._pay(await self._completed(line), "card")
            case "refunded":
                await self._refund(line)
            case "asked twice":
                await asyncio.gather(self._place(line, "points"), self._place(line, "points"))
            case "from a cart":
                await self._crowd.until_answered(
                    "PUT /cart", lambda: self._session.put_in_cart(self._crowd.plenty, line.quantity)
                )
                await self._place(line)
            case _:
                await self._once(line)

    async def _place(self, line: Line, pay_with: str | None = None, card: str | None = None) -> Order:
        """As a careful client does: under a key, again until there is an answer."""
        card_key = await self._card(card)
        order = await self._crowd.until_answered(
            PLACE,
            lambda: self._session.place([line], pay_with=pay_with, card_key=card_key, key=self._purchase.key),
        )
        self._accepted(order)
        return order

    async def _once(self, line: Line) -> None:
        """As a careless client does, who never asks again."""
        began_s = self._crowd.journal.now()
        answered = False
        try:
            order = await self._session.place([line], pay_with="points", key=self._purchase.key)
            answered = True
        finally:
            self._crowd.note("POST /orders, once", began_s, answered)
        self._accepted(order)

    async def _with_coupon(self) -> None:
        path = f"/coupons/{self._crowd.policy}/issue"
        headers = {"Idempotency-Key": f"{self._purchase.key}-coupon"}
        taken = await self._crowd.until_answered(
            "POST /coupons/ID/issue", lambda: self._session.send("POST", path, headers=headers)
        )
        coupon = msgspec.json.decode(taken.content, type=HeldCoupon)
        line = Line(self._crowd.plenty, 1, PRICE, PRICE - OFF, [coupon.id])
        await self._place(line, self._chance.choice(("points", "card", None)))

    async def _completed(self, line: Line, pay_with: str | None = None) -> Order | None:
        placed = await self._place(line, pay_with)
        order = await self._session.until(
            placed.id, lambda seen: seen.status != "PENDING", timeout_s=SETTLE_S
        )
        return order if order.status == "COMPLETED" else None

    async def _cancel(self, order: Order) -> None:
        await self._crowd.until_answered("POST /orders/ID/cancel", lambda: self._session.cancel(order.id))

    async def _pay(self, order: Order | None, method: str) -> str | None:
        if order is None:
            return None
        payment = await self._crowd.until_answered(
            "POST /payments",
            lambda: self._session.pay(order.id, method, key=f"{self._purchase.key}-pay"),
        )
        self._purchase.payments.add(payment.id)
        return payment.id

    async def _refund(self, line: Line) -> None:
        order = await self._completed(line)
        payment_id = await self._pay(order, "points")
        if order is None or payment_id is None:
            return
        paid = await self._session.until(order.id, lambda seen: seen.paid, timeout_s=SETTLE_S)
        if paid.paid:
            amount = self._chance.choice((None, 10_000))
            headers = {"Idempotency-Key": f"{self._purchase.key}-refund"}
            body = None if amount is None else {"amount": amount}
            path = f"/payments/{payment_id}/refund"
            await self._crowd.until_answered(
                "POST /payments/ID/refund",
                lambda: self._crowd.stage.admin.send("POST", path, body=body, headers=headers),
            )

    async def _read(self, order: Order) -> None:
        seen = await self._crowd.until_answered(READ, lambda: self._session.order(order.id))
        if seen.id != order.id:
            self._purchase.troubles.append(f"asked for order {order.id}, got {seen.id}")

    async def _card(self, number: str | None) -> str | None:
        """What the payment gateway's page gives for a card; its page is repeated while it is away, too."""
        if number is None:
            return None

        async def ask() -> str:
            try:
                return await self._crowd.stage.card_key(number)
            except httpx.HTTPError as error:
                raise Away(str(error)) from error

        return await persist(ask, timeout_s=PATIENCE_S)

    def _accepted(self, order: Order) -> None:
        self._purchase.outcome = "accepted"
        self._purchase.orders.add(order.id)


async def gather(stage: Stage, journal: Journal, *, seed: int, buyers: int) -> Crowd:
    """People with points, and what they will buy: plenty of one item, little of another."""

    async def somebody() -> tuple[Session, int]:
        session = await stage.buyer()
        user_id = await session.user_id()
        await stage.admin.give_points(user_id, POINTS, "to buy while the shop is broken")
        return session, user_id

    people = [await somebody() for _ in range(buyers)]
    plenty, scarce = await stage.shirt(MANY), await stage.shirt(5)
    policy = await stage.admin.create_policy(f"Chaos {stage.run}", OFF, MANY, per_user_limit=None)
    return Crowd(stage, journal, people, plenty, scarce, policy, seed)
