"""Scenarios of what comes before an order: a catalogue that changes, carts, few coupons, quotes."""

import asyncio

from ops.demo.everyday import BOTH_COUPONS_PRICE, FIXED_PRICE, order
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import FIXED, PERCENTAGE, SHIRT_PRICE, Stage, shirts
from ops.shop import Refused, Session

CROWD, COUPONS = 10, 4


async def quoted(stage: Stage, record: Record) -> None:
    """The shop finds the best use of the coupons, and what it quotes is ordered as it is."""
    buyer, shirt, other = await stage.buyer(), await stage.shirt(), await stage.shirt()
    await stage.coupons(buyer, FIXED, PERCENTAGE)
    with record.step("quote"):
        quote = await buyer.quote({other: 2, shirt: 1}, best_coupons=True)
    due = 2 * SHIRT_PRICE + BOTH_COUPONS_PRICE
    record.check(quote.total == due, f"the quote is {quote.total:,}")
    settled = await order(record, buyer, *quote.lines)
    record.check(settled.total == due, f"the order's total is {settled.total:,}")


async def cart_bought(stage: Stage, record: Record) -> None:
    """What is ordered leaves the cart, what is not stays."""
    buyer, shirt, other = await stage.buyer(), await stage.shirt(), await stage.shirt()
    for item in (shirt, other):
        await buyer.put_in_cart(item, 2)
    await order(record, buyer, shirts(shirt, 2))
    cart = await buyer.cart()
    record.check(cart == {other: 2}, f"the cart has {cart}")


async def cart_returned(stage: Stage, record: Record) -> None:
    """What an order took out of the cart is there again when the order has failed."""
    buyer, other, shirt = await stage.buyer(), await stage.buyer(), await stage.shirt()
    await buyer.put_in_cart(shirt, 1)
    coupons = await stage.coupons(other, FIXED)
    await order(record, buyer, shirts(shirt, discounted_price=FIXED_PRICE, coupons=coupons))
    record.check(await _cart_becomes(buyer, {shirt: 1}), f"the cart has {await buyer.cart()}")


async def repriced(stage: Stage, record: Record) -> None:
    """Of two admins one changes the price; the other must look again, and so must a buyer."""
    buyer, shirt = await stage.buyer(), await stage.shirt()
    seen = await stage.shop.item(shirt)
    with record.step("change"):
        await stage.admin.change_price(seen, SHIRT_PRICE + 200)
    try:
        await stage.admin.change_price(seen, SHIRT_PRICE - 200)
    except Refused as refusal:
        record.ended(str(refusal.status))
    await order(record, buyer, shirts(shirt))
    quote = await buyer.quote({shirt: 1})
    await order(record, buyer, *quote.lines)


async def withdrawn(stage: Stage, record: Record) -> None:
    """An item that was deleted cannot be bought, but whoever bought it keeps it."""
    buyer, shirt = await stage.buyer(), await stage.shirt()
    bought = await order(record, buyer, shirts(shirt))
    item = await stage.shop.item(shirt)
    with record.step("delete"):
        await stage.admin.delete_item(item)
    await order(record, buyer, shirts(shirt))
    kept = [(line.name, line.unit_price) for line in (await buyer.order(bought.id)).lines]
    record.check(kept == [(item.name, item.price)], f"the order shows {kept}")
    try:
        await stage.shop.item(shirt)
    except Refused as refusal:
        record.check(refusal.status == 404, f"looking at it answers {refusal.status}")
    else:
        record.check(False, "it can still be seen")


async def few_coupons(stage: Stage, record: Record) -> None:
    """More buyers than coupons: exactly as many get one as there are."""
    policy = await stage.admin.create_policy(f"Demo {stage.new_key()}", 1_000, COUPONS)
    crowd = await asyncio.gather(*(stage.buyer() for _ in range(CROWD)))
    with record.step("take all"):
        answers = await asyncio.gather(*(_takes(buyer, policy) for buyer in crowd))
    record.ended(f"{sum(answers)} of {len(answers)}")


async def _takes(buyer: Session, policy: int) -> bool:
    try:
        await buyer.take_coupon(policy)
    except Refused as refusal:
        if refusal.status != 409:
            raise
        return False
    return True


async def _cart_becomes(buyer: Session, wanted: dict[int, int]) -> bool:
    """Whether the cart is as wanted within some seconds: it hears of a failure by an event of its own."""
    for _ in range(50):
        if await buyer.cart() == wanted:
            return True
        await asyncio.sleep(0.1)
    return False


BROWSING = (
    Scenario("a quote with the best coupons, ordered as it is", ("COMPLETED",), (), quoted),
    Scenario("ordered from the cart", ("COMPLETED",), (), cart_bought),
    Scenario("the cart after a failed order", ("CANCEL",), ("coupon_invalid",), cart_returned),
    Scenario("a price is changed", ("412", "FAIL", "COMPLETED"), ("price_changed",), repriced),
    Scenario("an item is deleted", ("COMPLETED", "FAIL"), ("item_unknown",), withdrawn),
    Scenario(f"{CROWD} buyers for {COUPONS} coupons", (f"{COUPONS} of {CROWD}",), (), few_coupons),
)
