"""Orders of every kind in a shop where all is well, over HTTP."""

import asyncio
from collections import Counter

import pytest

from deploy.local.layout import Layout
from ops.demo.stage import FIXED, PERCENTAGE, SHIRT_PRICE, Stage, shirts
from ops.shop import Order, Refused, Session, persist
from tests.shop.books import assert_balanced


def _states(order: Order) -> dict[str, str]:
    return {one.name: one.state for one in order.participants}


async def _holdings(stage: Stage, buyer: Session, *items: int) -> tuple[object, ...]:
    """All that an order could change: stock, coupons, points."""
    stocks = [await stage.stock(item) for item in items]
    coupons = sorted((coupon.id, coupon.used) for coupon in await buyer.coupons())
    return stocks, coupons, await buyer.balance()


async def test_a_plain_order_completes(stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(10)
    order = await buyer.until_settled((await buyer.place([shirts(item, 3)])).id)
    assert (order.status, order.paid, order.total) == ("COMPLETED", False, 3 * SHIRT_PRICE)
    assert await stage.stock(item) == 7


async def test_an_order_with_two_coupons_completes(stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(10)
    coupons = await stage.coupons(buyer, FIXED, PERCENTAGE)
    price = await buyer.discounted_price(item, [coupon.id for coupon in coupons])
    order = await buyer.place([shirts(item, discounted_price=price, coupons=coupons)], wait_s=20)
    assert (order.status, order.total) == ("COMPLETED", 39_780)
    assert all(coupon.used for coupon in await buyer.coupons())


async def test_an_order_paid_with_points_completes_and_is_paid(stage: Stage) -> None:
    buyer, item = await stage.buyer(points=100_000), await stage.shirt(10)
    order = await buyer.place([shirts(item)], pay_with="points", wait_s=20)
    assert (order.status, order.paid) == ("COMPLETED", True)
    assert await buyer.balance() == 100_000 - SHIRT_PRICE


@pytest.mark.parametrize(
    ("refuser", "reason"),
    [("item", "out_of_stock"), ("coupon", "discount_mismatch"), ("payment", "insufficient_points")],
)
async def test_whoever_refuses_all_the_others_give_back_exactly_what_they_took(
    stage: Stage, refuser: str, reason: str
) -> None:
    points = 100 if refuser == "payment" else 100_000
    buyer, item = await stage.buyer(points=points), await stage.shirt(0 if refuser == "item" else 10)
    coupons = await stage.coupons(buyer, FIXED)
    before = await _holdings(stage, buyer, item)
    price = SHIRT_PRICE - 3_000 - (refuser == "coupon")
    line = shirts(item, discounted_price=price, coupons=coupons)
    order = await buyer.place([line], pay_with="points", wait_s=20)
    assert (order.status, order.reason, order.settled) == ("CANCEL", reason, True)
    expected = dict.fromkeys(("item", "coupon", "payment"), "RELEASED") | {refuser: "NO"}
    assert _states(order) == expected
    assert await _holdings(stage, buyer, item) == before


async def test_a_cancelled_order_gives_everything_back(stage: Stage) -> None:
    buyer, item = await stage.buyer(points=100_000), await stage.shirt(10)
    coupons = await stage.coupons(buyer, FIXED)
    before = await _holdings(stage, buyer, item)
    line = shirts(item, discounted_price=SHIRT_PRICE - 3_000, coupons=coupons)
    order = await buyer.place([line], pay_with="points", wait_s=20)
    assert order.status == "COMPLETED"
    assert await _holdings(stage, buyer, item) != before
    await buyer.cancel(order.id)
    await buyer.cancel(order.id)
    done = await buyer.until(order.id, lambda seen: seen.status == "CANCEL", timeout_s=15)
    assert (done.status, done.settled, done.reason) == ("CANCEL", True, "cancelled_by_buyer")
    assert await _holdings(stage, buyer, item) == before


async def test_fifty_buyers_get_ten_units_and_no_more(stage: Stage) -> None:
    item = await stage.shirt(10)
    at_once = asyncio.Semaphore(8)

    async def sign_up() -> Session:
        async with at_once:
            return await stage.buyer()

    buyers = await asyncio.gather(*(sign_up() for _ in range(50)))
    ends = await asyncio.gather(*(buyer.place([shirts(item)], wait_s=20) for buyer in buyers))
    assert Counter((end.status, end.reason) for end in ends) == {
        ("COMPLETED", None): 10,
        ("FAIL", "out_of_stock"): 40,
    }
    assert await stage.stock(item) == 0


async def test_one_idempotency_key_at_once_is_one_order(stage: Stage) -> None:
    buyer, item, key = await stage.buyer(), await stage.shirt(10), stage.new_key()

    async def place() -> Order:
        # A twin of one that has not ended is told to come again (409 with Retry-After).
        return await persist(lambda: buyer.place([shirts(item)], key=key))

    answers = await asyncio.gather(*(place() for _ in range(12)))
    assert len({answer.id for answer in answers}) == 1
    await buyer.until_settled(answers[0].id)
    assert await stage.stock(item) == 9
    with pytest.raises(Refused) as refusal:
        await buyer.place([shirts(item, 2)], key=key)
    assert refusal.value.status == 422


async def test_prefer_wait_holds_the_answer_until_the_order_is_settled(stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(10)
    body = {"lines": [shirts(item)]}
    for prefer, statuses in (("wait=20", {201}), ("respond-async, wait=5", {201}), ("wait=x", {201, 202})):
        answer = await buyer.send("POST", "/orders", body=body, headers={"Prefer": prefer})
        assert answer.status_code in statuses
        order = answer.json()
        assert order["settled"] == (answer.status_code == 201)
        assert answer.headers["Location"] == f"/orders/{order['id']}"
    no = await buyer.send(
        "POST", "/orders", body={"lines": [shirts(item, 99)]}, headers={"Prefer": "wait=20"}
    )
    assert (no.status_code, no.json()["status"], no.json()["reason"]) == (201, "FAIL", "out_of_stock")


async def test_the_history_of_an_order_tells_what_happened(stage: Stage) -> None:
    buyer, item = await stage.buyer(), await stage.shirt(1)
    order = await buyer.place([shirts(item)], wait_s=20)
    told = [change.what for change in (await buyer.order(order.id)).history]
    assert told == ["ORDER_CREATED", "STOCK_DEDUCTED", "ORDER_COMPLETED"]
    assert [found.id for found in [await buyer.order(order.id)]] == [order.id]


async def test_the_books_balance_after_all_of_this(shop: Layout, stage: Stage) -> None:
    await assert_balanced(shop)
