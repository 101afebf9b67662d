"""A crowd that changes its mind at once, in real time: all of it comes to rest, and soon."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from uuid import UUID

from order_svc import calls as order_calls
from order_svc.contracts import CancelOrder
from payment_svc import cards
from payment_svc.domain import State
from shared.clock import utc_now
from tests.payment_svc.model import books
from tests.payment_svc.model.clock import Clock
from tests.payment_svc.model.conftest import Worlds
from tests.payment_svc.model.numbers import Numbers
from tests.payment_svc.model.orders import SETTINGS, an_order
from tests.payment_svc.model.world import REPLICAS, World
from tests.support.waiting import eventually

WITHIN_S = 60.0
ANSWER_S = 0.05
"""How long the PG takes for an answer."""
LIST = 128
BUYERS = {1: 0, 2: 0, 3: 0}


class RealTime(Clock):
    """The clock on the wall."""

    def read(self) -> datetime:
        return utc_now()

    @property
    def now(self) -> datetime:
        """The time now."""
        return utc_now()

    @now.setter
    def now(self, moment: datetime) -> None:
        """Nobody sets it."""


class Crowd:
    """How many do what, by order."""

    def __init__(self, share: float) -> None:
        numbers = Numbers(1_000_000)
        self.cancelled = [numbers.new() for _ in range(int(300 * share))]
        self.out_of_stock = [numbers.new() for _ in range(int(300 * share))]
        self.cancelled_at_the_pg = [numbers.new() for _ in range(int(100 * share))]

    @property
    def all(self) -> list[UUID]:
        """All orders, those of each kind among the others."""
        return sorted(
            [*self.cancelled, *self.out_of_stock, *self.cancelled_at_the_pg],
            key=lambda order_id: hash(order_id),
        )


async def test_a_crowd_comes_to_rest(worlds: Worlds, model_steps: int | None) -> None:
    crowd = Crowd(1.0 if model_steps else 0.2)
    world = worlds(RealTime())
    world.pg.delay_s = ANSWER_S
    await world.begin(BUYERS)
    began = time.monotonic()
    async with _at_work(world):
        await _place(world, crowd)
        for order_id in crowd.cancelled:
            await world.orders.cancel(CancelOrder(order_id=order_id, by="buyer"))
        await _cancel_at_the_pg(world, set(crowd.cancelled_at_the_pg))
        await eventually(lambda: _at_rest(world), within_s=WITHIN_S - (time.monotonic() - began))
    took = time.monotonic() - began
    ours = await books.read_payments(world.db)
    orders = await books.read_orders(world.orders.db)
    books.check_at_rest(ours, orders, world.pg, {}, last_looks=True)
    assert {order.status for order in orders} <= {"CANCEL", "FAIL"}
    assert not world.pg.charged()
    assert took < WITHIN_S
    print(f"\n{len(orders)} orders at rest after {took:.1f} s")


async def _place(world: World, crowd: Crowd) -> None:
    """All at once, in lists as long as a service takes."""
    wanted = [an_order(order_id, 1 + n % len(BUYERS), 9_900, "card") for n, order_id in enumerate(crowd.all)]
    world.orders.has_stock(dict.fromkeys(crowd.all, True) | dict.fromkeys(crowd.out_of_stock, False))
    for first in range(0, len(wanted), LIST):
        some = wanted[first : first + LIST]
        await world.orders.db.transaction(lambda tx, some=some: order_calls.place_orders(some, tx, SETTINGS))


async def _cancel_at_the_pg(world: World, order_ids: set[UUID]) -> None:
    """As soon as each is charged; the PG tells of it once."""

    async def cancel() -> bool:
        for row in (await books.read_payments(world.db)).payments:
            if row.order_id in order_ids and row.state is State.HELD:
                [session] = [one for one in world.pg.charged() if one.number == str(row.payment_id)]
                world.pg.cancel_by_itself(session, session.left)
                await world.notice(str(row.payment_id))
                order_ids.discard(row.order_id)
        return not order_ids

    await eventually(cancel, within_s=WITHIN_S)


async def _at_rest(world: World) -> bool:
    orders = await books.read_orders(world.orders.db)
    return not world.letters and all(order.settled and order.status != "COMPLETED" for order in orders)


@asynccontextmanager
async def _at_work(world: World) -> AsyncIterator[None]:
    """Two replicas that do their jobs as often as they always do, and a network that is quick."""

    async def carry() -> None:
        world.collect()
        arriving, world.letters = world.letters[:LIST], world.letters[LIST:]
        await world.deliver(arriving)

    jobs: list[tuple[float, Callable[[], Awaitable[None]]]] = [
        (0.01, carry),
        (0.5, world.orders.sweep),
        (cards.CATCH_UP_S, world.catch_up),
    ]
    for _ in range(REPLICAS):
        jobs.append((0.2, lambda: cards.reconcile(world.db, world.rpc, world.settings)))
    working = [asyncio.create_task(_every(seconds, job)) for seconds, job in jobs]
    try:
        yield
    finally:
        for task in working:
            task.cancel()
        for task in working:
            with suppress(asyncio.CancelledError):
                await task


async def _every(seconds: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        await job()
        await asyncio.sleep(seconds)
