"""Scenarios of paying: later, by card, declined, twice, with an outcome that nobody knows, not at all."""

import asyncio

from deploy.local import fleet
from ops.demo.everyday import order
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import SHIRT_PRICE, Stage, shirts
from ops.shop import Order, Payment, Refused, Session

# Numbers of the simulated payment gateway's cards.
DECLINED, LATE, LOST = "4000000000000002", "4000000000000119", "4000000000000127"


async def paid(record: Record, buyer: Session, placed: Order) -> Order:
    """Wait until an order is paid, as a timed step."""
    with record.step("confirm"):
        return await buyer.until(placed.id, lambda seen: seen.paid)


async def found_out(record: Record, buyer: Session, payment: Payment) -> Payment:
    """Wait until it is known what became of a payment, as a timed step."""
    with record.step("find out"):
        return await buyer.payment_until(payment.id, lambda seen: seen.rests)


async def refused(buyer: Session, order_id: str, method: str, card: str | None = None) -> int:
    """The status with which a payment is refused, 0 if it is not."""
    try:
        await buyer.pay(order_id, method, card_key=card)
    except Refused as refusal:
        return refusal.status
    return 0


async def later_with_points(stage: Stage, record: Record) -> None:
    """The order completes unpaid; then it is paid, once."""
    buyer, item = await stage.buyer(points=100_000), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    record.check(not completed.paid, "the order is paid before anybody paid")
    with record.step("pay"):
        payment = await buyer.pay(completed.id, "points")
    record.check(payment.status == "CAPTURED", f"the payment is {payment.status}")
    record.check((await paid(record, buyer, completed)).paid, "the order is not paid")
    record.check(await buyer.balance() == 100_000 - SHIRT_PRICE, "the points do not add up")
    again = await refused(buyer, completed.id, "points")
    record.check(again == 409, f"a second payment answers {again}")


async def later_by_card(stage: Stage, record: Record) -> None:
    """A declined card takes nothing; another one pays."""
    buyer, item = await stage.buyer(), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    with record.step("declined"):
        status = await refused(buyer, completed.id, "card", await stage.card_key(DECLINED))
    record.check(status == 422, f"the declined card answers {status}")
    with record.step("pay"):
        payment = await buyer.pay(completed.id, "card")
    record.check(payment.status == "CAPTURED", f"the payment is {payment.status}")
    record.check((await paid(record, buyer, completed)).paid, "the order is not paid")


async def with_a_card(stage: Stage, record: Record) -> None:
    """Paid with a card as part of the order."""
    buyer, item = await stage.buyer(), await stage.shirt()
    settled = await order(record, buyer, shirts(item), pay_with="card")
    record.check(settled.paid, "the order is not paid")


async def with_a_declined_card(stage: Stage, record: Record) -> None:
    """The card is declined: the stock goes back."""
    buyer, item = await stage.buyer(), await stage.shirt()
    key = await stage.card_key(DECLINED)
    await order(record, buyer, shirts(item), pay_with="card", card_key=key)
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def both_at_once(stage: Stage, record: Record) -> None:
    """Two payments of one order at once: one wins."""
    buyer, item = await stage.buyer(points=100_000), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    with record.step("pay twice"):
        outcomes = await asyncio.gather(
            buyer.pay(completed.id, "points"), buyer.pay(completed.id, "points"), return_exceptions=True
        )
    statuses = sorted(one.status if isinstance(one, Refused) else 201 for one in outcomes)
    record.check(statuses == [201, 409], f"the payments answer {statuses}")
    record.check((await paid(record, buyer, completed)).paid, "the order is not paid")
    record.check(await buyer.balance() == 100_000 - SHIRT_PRICE, "the points were taken twice")


async def unknown(stage: Stage, record: Record) -> None:
    """The charge is made, but its answer is lost: it is found at the payment gateway, and not made again."""
    buyer, item = await stage.buyer(), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    with record.step("pay"):
        payment = await buyer.pay(completed.id, "card", card_key=await stage.card_key(LOST))
    record.check(payment.status in ("ASKING", "CAPTURED"), f"the payment is {payment.status}")
    payment = await found_out(record, buyer, payment)
    record.check(payment.status == "CAPTURED", f"the payment ends {payment.status}")
    record.check((await paid(record, buyer, completed)).paid, "the order is not paid")


async def cancelled_while_unknown(stage: Stage, record: Record) -> None:
    """Cancelled before anybody knows whether the card was charged: it counts as given back once it is."""
    buyer, item = await stage.buyer(), await stage.shirt()
    with record.step("accept"):
        placed = await buyer.place([shirts(item)], pay_with="card", card_key=await stage.card_key(LATE))
    await asyncio.sleep(1.0)  # the payment gateway has been asked, and does not answer
    await buyer.cancel(placed.id)
    with record.step("settle"):
        settled = await buyer.until(placed.id, lambda seen: seen.settled, timeout_s=90)
    record.ended(settled)
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def refunded(stage: Stage, record: Record) -> None:
    """An admin gives a payment back, which cancels its order."""
    buyer, item = await stage.buyer(points=100_000), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    payment = await buyer.pay(completed.id, "points")
    await paid(record, buyer, completed)
    with record.step("refund"):
        await stage.admin.refund(payment.id)
        end = await buyer.until(completed.id, lambda seen: seen.settled and seen.status != "COMPLETED")
    record.ended(end)
    record.check(not end.paid, "the order still counts as paid")
    record.check(await buyer.balance() == 100_000, "the points were not given back")
    record.check((await buyer.payment(payment.id)).status == "REFUNDED", "the payment is not refunded")
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def expired(stage: Stage, record: Record) -> None:
    """Nobody pays: the order is called off in time (here after 2 s instead of half an hour)."""
    buyer, item = await stage.buyer(), await stage.shirt()
    hasty = {"SHOP_ORDER_UNPAID_S": "2", "SHOP_ORDER_DEADLINE_S": "3"}
    await asyncio.to_thread(fleet.restart, "order", settings=hasty)
    try:
        completed = await order(record, buyer, shirts(item))
        with record.step("expire"):
            end = await buyer.until(
                completed.id, lambda seen: seen.settled and seen.status != "COMPLETED", timeout_s=60
            )
        record.ended(end)
    finally:
        await asyncio.to_thread(fleet.restart, "order")
    record.check(await stage.stock(item) == 10, "the stock was not given back")


PAYMENTS = (
    Scenario("paid later with points", ("COMPLETED",), (), later_with_points),
    Scenario("paid later by card, after a declined one", ("COMPLETED",), (), later_by_card),
    Scenario("paid with a card", ("COMPLETED",), (), with_a_card),
    Scenario("paid with a card that is declined", ("CANCEL",), ("card_declined",), with_a_declined_card),
    Scenario("paid twice at once", ("COMPLETED",), (), both_at_once),
    Scenario("the payment gateway's answer is lost", ("COMPLETED",), (), unknown),
    Scenario(
        "cancelled while the charge is unknown", ("CANCEL",), ("cancelled_by_buyer",), cancelled_while_unknown
    ),
    Scenario("payment given back by an admin", ("COMPLETED", "CANCEL"), ("cancelled_by_admin",), refunded),
    Scenario("never paid", ("COMPLETED", "CANCEL"), ("payment_expired",), expired, stops="order"),
)
