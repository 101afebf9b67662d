"""Notices: what stands in them, how often they come, and that they outlive the simulator."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from pg_sim.notices import new_notice, tried_again
from pg_sim.settings import SimulatorSettings
from tests.pg_sim.conftest import Pg, Shop, Started, order_number
from tests.support.waiting import eventually


def told(shop: Shop) -> Callable[[], Awaitable[list[str]]]:
    """What the shop was told so far."""

    async def look() -> list[str]:
        return shop.told()

    return look


async def test_a_notice_shows_the_payment_and_is_not_signed(pg: Pg, shop: Shop) -> None:
    payment = await pg.charged()
    await eventually(told(shop), holds=lambda seen: seen == ["DONE"])

    (notice,), (request,) = shop.notices, shop.requests

    assert set(notice) == {"eventType", "createdAt", "data"}
    assert notice["eventType"] == "PAYMENT_STATUS_CHANGED"
    assert datetime.fromisoformat(notice["createdAt"]).tzinfo is None
    assert notice["data"] == payment
    assert str(request.url) == "http://127.0.0.1:8000/payments/pg/webhook"
    assert not [name for name in request.headers if "signature" in name or name == "authorization"]


async def test_every_change_that_a_shop_can_know_of_is_told(start: Started, shop: Shop) -> None:
    pg = start(pg_session_s=0.3)
    key = (await pg.charged())["paymentKey"]
    await pg.cancel(key, 1_000)
    await pg.cancel(key, 2_000)
    await pg.cancel(key)
    await pg.confirm(await pg.key("4000000000000002"), order_number())
    await pg.key(order_id=order_number(), amount=5)
    await pg.key()  # belongs to nobody: nobody is told that it expires
    everything = ["DONE", "PARTIAL_CANCELED", "PARTIAL_CANCELED", "CANCELED", "ABORTED", "EXPIRED"]
    await eventually(told(shop), holds=lambda seen: seen == everything)
    assert [notice["data"]["balanceAmount"] for notice in shop.notices[:4]] == [20_000, 19_000, 17_000, 0]


async def test_what_is_refused_or_repeated_is_not_told(pg: Pg, shop: Shop) -> None:
    key, number = await pg.key(), order_number()
    for _ in range(3):
        await pg.confirm(key, number, once="k-1")
        await pg.confirm(key, number)
        await pg.cancel(key, 20_001)
        await pg.cancel(key, 1, once="k-2")
    await pg.cancel(key)
    await eventually(told(shop), holds=lambda seen: seen[-1:] == ["CANCELED"])
    assert shop.told() == ["DONE", "PARTIAL_CANCELED", "CANCELED"]


@pytest.mark.parametrize(
    ("card", "times"), [("4000000000000135", 2), ("4000000000000143", 1), ("4000000000000150", 0)]
)
async def test_cards_whose_notices_come_twice_late_or_never(
    pg: Pg, shop: Shop, card: str, times: int
) -> None:
    await pg.charged(card)
    if card.endswith("0143"):
        assert shop.told() == []
    key = (await pg.charged())["paymentKey"]
    await eventually(told(shop), holds=lambda seen: len(seen) == times + 1)
    assert [notice["data"]["paymentKey"] for notice in shop.notices].count(key) == 1


@pytest.mark.parametrize("status", [201, 204, 302, 400, 404, 500, 503, 0])
async def test_a_notice_that_is_not_answered_with_200_comes_again(
    start: Started, shop: Shop, status: int
) -> None:
    shop.statuses = [status, status]
    await start(pg_notice_minute_s=0.01).charged()
    await eventually(told(shop), holds=lambda seen: len(seen) == 3)
    assert shop.notices[0] == shop.notices[1] == shop.notices[2]


async def test_a_notice_is_given_up_after_seven_more_tries(start: Started, shop: Shop, journal: str) -> None:
    shop.statuses = [500] * 100
    pg = start(pg_notice_minute_s=0.0001, pg_journal=journal)
    await pg.charged()
    await eventually(told(shop), holds=lambda seen: len(seen) == 8)
    waiting = await eventually(lambda: _waiting(pg), holds=lambda seen: seen == 0)
    assert waiting == 0
    await start(pg_journal=journal).get("/simulator")
    assert len(shop.told()) == 8


def test_the_waits_are_the_pgs() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    notice = new_notice(now)
    waits: list[float] = []
    while (again := tried_again(notice, now, SimulatorSettings())) is not None:
        waits.append((again.due_at - now) / timedelta(minutes=1))
        notice = again
    assert waits == [1, 4, 16, 64, 256, 1024, 4096]


async def test_notices_on_their_way_outlive_the_simulator(start: Started, shop: Shop, journal: str) -> None:
    shop.statuses = [500]
    first = start(pg_journal=journal, pg_notice_minute_s=0.2)
    charged = await first.charged()
    late = await first.charged("4000000000000143")
    await eventually(told(shop), holds=lambda seen: len(seen) == 1)

    await first.stop()

    await start(pg_journal=journal).get("/simulator")

    await eventually(told(shop), holds=lambda seen: len(seen) == 3)
    arrived = sorted(notice["data"]["paymentKey"] for notice in shop.notices[1:])
    assert arrived == sorted([charged["paymentKey"], late["paymentKey"]])


async def test_a_person_sends_a_notice_again(pg: Pg, shop: Shop) -> None:
    key = (await pg.charged("4000000000000150"))["paymentKey"]
    answer = await pg.post(f"/simulator/charges/{key}/notify", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["paymentKey"]) == (200, key)
    await eventually(told(shop), holds=lambda seen: seen == ["DONE"])


async def _waiting(pg: Pg) -> int:
    """How many notices of the newest charge wait, as its page says."""
    newest = (await pg.get("/simulator/charges")).json()[0]["paymentKey"]
    page: httpx.Response = await pg.get(f"/simulator/charges/{newest}")
    return int(page.text.split("<dt>Notices waiting</dt><dd>")[1].split("<")[0])
