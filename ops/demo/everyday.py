"""Scenarios of a shop where everything runs: what buyers do, and what they try."""

import asyncio

from ops.demo.scenario import Record, Scenario
from ops.demo.stage import FIXED, PERCENTAGE, SHIRT_PRICE, Stage, shirts
from ops.shop import Line, Order, Refused, Session

# 49,800 - 3,000 = 46,800, less 15 %.
BOTH_COUPONS_PRICE = 39_780
FIXED_PRICE = SHIRT_PRICE - 3_000


async def order(
    record: Record,
    buyer: Session,
    *lines: Line,
    pay_with: str | None = None,
    card_key: str | None = None,
    payment_id: str | None = None,
) -> Order:
    """Place an order and wait for its end, as two timed steps."""
    with record.step("accept"):
        placed = await buyer.place(lines, pay_with=pay_with, card_key=card_key, payment_id=payment_id)
    record.accepted(placed)
    with record.step("settle"):
        settled = await buyer.until_settled(placed.id)
    record.ended(settled)
    return settled


async def refused(record: Record, buyer: Session, *lines: Line) -> None:
    """Place an order that the shop must not even accept."""
    with record.step("answer"):
        try:
            placed = await buyer.place(lines)
        except Refused as refusal:
            record.ended(str(refusal.status))
            return
    record.ended(placed)


async def plain(stage: Stage, record: Record) -> None:
    """One line, no coupon, paid later; the answer is held until the end is known."""
    buyer, item = await stage.buyer(), await stage.shirt()
    with record.step("accept and settle"):
        settled = await buyer.place([shirts(item, 2)], wait_s=20)
    record.ended(settled)
    record.check(settled.total == 2 * SHIRT_PRICE, f"the total is {settled.total:,}")
    record.check(await stage.stock(item) == 8, "the stock did not fall from 10 to 8")


async def two_coupons(stage: Stage, record: Record) -> None:
    """Fixed first, then the percentage."""
    buyer, item = await stage.buyer(), await stage.shirt()
    coupons = await stage.coupons(buyer, FIXED, PERCENTAGE)
    with record.step("price"):
        price = await buyer.discounted_price(item, [coupon.id for coupon in coupons])
    record.check(price == BOTH_COUPONS_PRICE, f"applied-amount says {price:,}")
    settled = await order(record, buyer, shirts(item, discounted_price=BOTH_COUPONS_PRICE, coupons=coupons))
    record.check(settled.total == BOTH_COUPONS_PRICE, f"the total is {settled.total:,}")
    record.check(all(coupon.used for coupon in await buyer.coupons()), "a coupon is not used")


async def points(stage: Stage, record: Record) -> None:
    """Paid with points as part of the order."""
    buyer, item = await stage.buyer(points=100_000), await stage.shirt()
    settled = await order(record, buyer, shirts(item), pay_with="points")
    record.check(settled.paid, "the order is not paid")
    balance = await buyer.balance()
    record.check(balance == 100_000 - SHIRT_PRICE, f"the balance is {balance:,}")


async def out_of_stock(stage: Stage, record: Record) -> None:
    """More than there is."""
    buyer, item = await stage.buyer(), await stage.shirt(stock=3)
    await order(record, buyer, shirts(item, 4))
    record.check(await stage.stock(item) == 3, "the stock changed")


async def price_changed(stage: Stage, record: Record) -> None:
    """Yesterday's price."""
    buyer, item = await stage.buyer(), await stage.shirt()
    await order(record, buyer, shirts(item, unit_price=SHIRT_PRICE - 800))


async def wrong_discount(stage: Stage, record: Record) -> None:
    """A good coupon, but one won too little to pay."""
    buyer, item = await stage.buyer(), await stage.shirt()
    coupons = await stage.coupons(buyer, FIXED)
    await order(record, buyer, shirts(item, discounted_price=FIXED_PRICE - 1, coupons=coupons))
    record.check(await stage.stock(item) == 10, "the stock was not given back")
    record.check(not any(coupon.used for coupon in await buyer.coupons()), "the coupon is used")


async def foreign_coupon(stage: Stage, record: Record) -> None:
    """Somebody else's coupon."""
    buyer, other, item = await stage.buyer(), await stage.buyer(), await stage.shirt()
    coupons = await stage.coupons(other, FIXED)
    await order(record, buyer, shirts(item, discounted_price=FIXED_PRICE, coupons=coupons))
    record.check(not any(coupon.used for coupon in await other.coupons()), "the other's coupon is used")


async def three_coupons(stage: Stage, record: Record) -> None:
    """At most two a line."""
    buyer, item = await stage.buyer(), await stage.shirt()
    coupons = await stage.coupons(buyer, FIXED, PERCENTAGE)
    line = Line(item, 1, SHIRT_PRICE, BOTH_COUPONS_PRICE, [*(coupon.id for coupon in coupons), 2**40])
    await refused(record, buyer, line)


async def coupon_for_two(stage: Stage, record: Record) -> None:
    """A line with a coupon is for one piece."""
    buyer, item = await stage.buyer(), await stage.shirt()
    coupons = await stage.coupons(buyer, FIXED)
    await refused(record, buyer, shirts(item, 2, discounted_price=FIXED_PRICE, coupons=coupons))


async def points_short(stage: Stage, record: Record) -> None:
    """One point too few."""
    buyer, item = await stage.buyer(points=SHIRT_PRICE - 1), await stage.shirt()
    await order(record, buyer, shirts(item), pay_with="points")
    record.check(await buyer.balance() == SHIRT_PRICE - 1, "the balance changed")
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def compensated(stage: Stage, record: Record) -> None:
    """Coupon and payment say yes, item says no: both give back."""
    buyer, item = await stage.buyer(points=100_000), await stage.shirt(stock=0)
    coupons = await stage.coupons(buyer, FIXED)
    line = shirts(item, discounted_price=FIXED_PRICE, coupons=coupons)
    settled = await order(record, buyer, line, pay_with="points")
    states = {participant.name: participant.state for participant in settled.participants}
    expected = {"item": "NO", "coupon": "RELEASED", "payment": "RELEASED"}
    record.check(states == expected, f"the participants ended {states}")
    record.check(await buyer.balance() == 100_000, "the points were not given back")
    record.check(not any(coupon.used for coupon in await buyer.coupons()), "the coupon was not given back")


async def cancelled(stage: Stage, record: Record) -> None:
    """The buyer thinks better of a completed order."""
    buyer, item = await stage.buyer(), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    with record.step("cancel"):
        await buyer.cancel(completed.id)
        end = await buyer.until(completed.id, lambda seen: seen.settled and seen.status != "COMPLETED")
    record.ended(end)
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def same_key(stage: Stage, record: Record) -> None:
    """The same request twice, at once and again later; then the key with another body."""
    buyer, item, key = await stage.buyer(), await stage.shirt(), stage.new_key()
    with record.step("accept both"):
        first, second = await asyncio.gather(
            buyer.place([shirts(item)], key=key), buyer.place([shirts(item)], key=key)
        )
    record.accepted(first)
    with record.step("settle"):
        settled = await buyer.until_settled(first.id)
    third = await buyer.place([shirts(item)], key=key)
    record.ended(settled)
    record.check({first.id, second.id, third.id} == {first.id}, "the same key made several orders")
    record.check(await stage.stock(item) == 9, "the stock fell by more than one order")
    try:
        await buyer.place([shirts(item, 2)], key=key)
    except Refused as refusal:
        record.check(refusal.status == 422, f"the key with another body answers {refusal.status}")
    else:
        record.check(False, "the key was accepted with another body")


async def last_unit(stage: Stage, record: Record) -> None:
    """Two buyers at once for one piece."""
    ann, ben, item = await stage.buyer(), await stage.buyer(), await stage.shirt(stock=1)
    with record.step("accept and settle both"):
        ends = await asyncio.gather(
            ann.place([shirts(item)], wait_s=20), ben.place([shirts(item)], wait_s=20)
        )
    record.ended(*sorted(ends, key=lambda end: end.status))
    record.check(await stage.stock(item) == 0, "the stock is not zero")


EVERYDAY = (
    Scenario("plain order", ("COMPLETED",), (), plain),
    Scenario("two coupons on one line: 39,780", ("COMPLETED",), (), two_coupons),
    Scenario("paid with points", ("COMPLETED",), (), points),
    Scenario("out of stock", ("FAIL",), ("out_of_stock",), out_of_stock),
    Scenario("price changed", ("FAIL",), ("price_changed",), price_changed),
    Scenario("wrong discount", ("CANCEL",), ("discount_mismatch",), wrong_discount),
    Scenario("someone else's coupon", ("CANCEL",), ("coupon_invalid",), foreign_coupon),
    Scenario("three coupons on a line", ("422",), (), three_coupons),
    Scenario("coupon with quantity 2", ("422",), (), coupon_for_two),
    Scenario("points short", ("CANCEL",), ("insufficient_points",), points_short),
    Scenario("item says no, coupon and payment yes", ("CANCEL",), ("out_of_stock",), compensated),
    Scenario("cancelled by its buyer", ("COMPLETED", "CANCEL"), ("cancelled_by_buyer",), cancelled),
    Scenario("same idempotency key twice", ("COMPLETED",), (), same_key),
    Scenario("two buyers for the last unit", ("COMPLETED", "FAIL"), ("out_of_stock",), last_unit),
)
