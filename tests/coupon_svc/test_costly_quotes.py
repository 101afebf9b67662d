"""Searches that take long: one at a time, ended with their caller's patience, and nobody else suffers."""

import asyncio
import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from coupon_svc.assignment import cheapest
from coupon_svc.domain import Coupon
from shared.deadline import Passed, Until
from shared.errors import Overloaded
from shared.threads import Threads, between_steps

FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
PRICES = [10_000 + 1_371 * number for number in range(25)]
FEW = [Coupon(number, 2, "percentage", 5 + number % 4, 0, FROM, UNTIL) for number in range(1, 21)]
MANY = [Coupon(number, 2, "fixed", 100 + 7 * number, 20 * number, FROM, UNTIL) for number in range(1, 60)]
TICK_S = 0.005


@pytest.mark.parametrize("coupons", [FEW, MANY], ids=["searched", "spread"])
def test_a_search_pauses_often_and_can_be_ended(coupons: list[Coupon]) -> None:
    pauses: list[float] = []
    cheapest(PRICES, coupons, lambda: pauses.append(time.thread_time()))
    between = sorted(after - before for before, after in pairwise(pauses))
    assert len(between) > 20
    assert between[int(len(between) * 0.9)] < 0.05  # but for one in which the collector runs

    class Enough(Exception):
        pass

    def enough() -> None:
        raise Enough

    with pytest.raises(Enough):
        cheapest(PRICES, coupons, enough)


async def test_twenty_at_a_time_do_not_hold_up_the_rest() -> None:
    searches = Threads("searching", count=1, line=8)
    ends: list[bool] = []

    async def ask() -> None:
        try:
            with Until(time.monotonic() + 0.5):
                await searches.run(cheapest, PRICES, MANY, between_steps, whose="2")
            ends.append(True)
        except (Overloaded, Passed):
            ends.append(False)

    late: list[float] = []
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask()) for _ in range(20)]
        while not all(one.done() for one in asking):
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            late.append(time.monotonic() - before - TICK_S)
    assert len(ends) == 20
    assert ends.count(False) >= 11  # there is no room for more in line
    late.sort()
    assert late[int(len(late) * 0.9)] < 0.05
