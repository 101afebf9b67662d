"""A few buyers who never stop, and who count every request that was not answered as it should be."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ops.shop import Away, Line, Refused, Session, Shop

T = TypeVar("T")

BUYERS = 4
_PRICE = 10_000
_LOOK_EVERY_S = 0.25
_SETTLED_WITHIN_S = 60.0


@dataclass
class Bought:
    """What came of it."""

    orders: int = 0
    times: list[float] = field(default_factory=list)
    """Seconds of each request."""
    failures: list[str] = field(default_factory=list)
    """Requests that were refused or not answered, and orders that did not complete."""


async def buy_while(
    shop_url: str, admin: tuple[str, str], happens: Callable[[], Awaitable[T]]
) -> tuple[Bought, T]:
    """Buy until `happens` is over. `admin` is the e-mail and password of one who may put items on sale."""
    bought, over = Bought(), asyncio.Event()
    async with Shop(shop_url) as shop:
        seller = await shop.sign_in(*admin)
        item = await seller.create_item(f"Steady shirt {secrets.token_hex(4)}", "100-M", _PRICE, 1_000_000)
        buyers = [asyncio.create_task(_buy(await _buyer(shop), item, bought, over)) for _ in range(BUYERS)]
        try:
            return bought, await happens()
        finally:
            over.set()
            await asyncio.gather(*buyers)


async def _buyer(shop: Shop) -> Session:
    email, password = f"steady-{secrets.token_hex(6)}@demo.local", secrets.token_urlsafe(12)
    await shop.register(email, "Steady buyer", password)
    return await shop.sign_in(email, password)


async def _buy(buyer: Session, item: int, bought: Bought, over: asyncio.Event) -> None:
    while not over.is_set():
        await _counted(bought, "reading the item", lambda: buyer.shop.item(item))
        placed = await _counted(bought, "placing an order", lambda: buyer.place([Line(item, 1, _PRICE)]))
        if placed is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            continue
        order = placed.id
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while not placed.settled and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_EVERY_S)
            seen = await _counted(bought, "reading an order", lambda: buyer.order(order))  # noqa: B023
            placed = seen or placed
        bought.orders += 1
        if placed.status != "COMPLETED":
            bought.failures.append(f"order {placed.id} ended as {placed.status} ({placed.reason})")


async def _counted(bought: Bought, what: str, act: Callable[[], Awaitable[T]]) -> T | None:
    began = time.monotonic()
    try:
        return await act()
    except (Away, Refused) as error:
        bought.failures.append(f"{what}: {error}")
        return None
    finally:
        bought.times.append(time.monotonic() - began)
