"""One wrong clock: work goes on, nothing is lost, stuck or doubled, and a metric says whose clock it is."""

import re
from collections import Counter

import httpx
import msgspec
import pytest

from deploy.local.layout import HOST, Layout
from ops.chaos.ground import running_ground
from ops.chaos.run import run
from ops.demo.stage import Stage, shirts
from ops.shop import Refused, Shop
from tests.support.waiting import eventually
from tests.support.wrong_clock import wrong_clock

HOUR = 3600
SERVICES = ("user", "item", "coupon", "order", "payment", "query")


async def _metrics(at: Layout, service: str) -> dict[str, float]:
    url = f"http://{HOST}:{at.service(service).port(at.base, 1)}/metrics"
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(url)).text
    return {name: float(value) for name, value in re.findall(r"^(shop_clock_\S+) (\S+)$", text, re.MULTILINE)}


async def _ahead(at: Layout, service: str) -> float:
    return (await _metrics(at, service))[f'shop_clock_ahead_seconds{{service="{service}"}}']


async def _all_goes_on(shop: Layout) -> None:
    result = await run(running_ground(lambda _: None), [], orders=50, seconds=4, seed=3, buyers=6)
    document = {**result.document(), "books": [found.text for found in result.books.discrepancies]}
    assert result.good, msgspec.json.format(msgspec.json.encode(document)).decode()
    assert result.verdict.told == Counter(accepted=50)
    assert result.verdict.ends["COMPLETED"] > 25
    assert not [end for end in result.verdict.ends if "timeout" in end]


async def _carts_lose_what_is_ordered(stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt()
    await buyer.put_in_cart(item, 1)
    order = await buyer.place([shirts(item)], wait_s=20)
    assert (order.status, await buyer.cart()) == ("COMPLETED", {})


@pytest.mark.parametrize(
    ("service", "ahead_s"),
    [
        ("item", HOUR),
        *(
            pytest.param(service, ahead_s, marks=pytest.mark.long)
            for service in SERVICES
            for ahead_s in (-HOUR, -5, 5, HOUR)
            if (service, ahead_s) != ("item", HOUR)
        ),
        *(pytest.param("gateway", ahead_s, marks=pytest.mark.long) for ahead_s in (-4, 4)),
    ],
)
async def test_with_one_wrong_clock_all_goes_on_and_it_is_told_whose_it_is(
    service: str, ahead_s: int, shop: Layout, stage: Stage
) -> None:
    async with wrong_clock(service, ahead_s):
        if service != "gateway":
            assert await _ahead(shop, service) == pytest.approx(ahead_s, abs=1)
        await _carts_lose_what_is_ordered(stage)
        await _all_goes_on(shop)


@pytest.mark.long
async def test_a_gateway_whose_clock_is_an_hour_ahead_refuses_tokens_and_is_told(
    shop: Layout, stage: Stage
) -> None:
    buyer = await stage.buyer()

    async def differences() -> list[float]:
        found = await _metrics(shop, "gateway")
        return [value for name, value in found.items() if name.startswith("shop_clock_difference")]

    async with wrong_clock("gateway", HOUR), Shop(shop.gateway_url) as door:
        session = await door.sign_in(buyer.email, buyer._password)
        with pytest.raises(Refused) as refused:
            await session.user_id()
        assert refused.value.status == 401
    assert await buyer.user_id()
    async with wrong_clock("gateway", -4):
        item = await stage.shirt()
        await buyer.place([shirts(item)], wait_s=20)
        found = await eventually(differences)
        assert all(value == pytest.approx(-4, abs=1) for value in found), found
