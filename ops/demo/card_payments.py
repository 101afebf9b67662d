"""Scenarios of cards: numbers and keys, refunds in part, what a person must decide, points bought."""

from ops.attention import Payments
from ops.demo.everyday import order
from ops.demo.payments import DECLINED
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import SHIRT_PRICE, Stage, shirts
from ops.shop import Intent, Order, Payment, Refused, Session
from payment_svc.contracts import OperatorPayment, Outcome

# Numbers of the simulated payment gateway's cards.
GOOD, CANCEL_REFUSED = "4242424242424242", "4000000000000168"
PART = 10_000


def card_says(ordered: Order) -> str:
    """Why the card of a failed order was declined."""
    return str((ordered.reason_details or {}).get("code"))


async def paid_by_card(
    stage: Stage, record: Record, buyer: Session, card: str = GOOD
) -> tuple[Order, Intent, str]:
    """An order that is paid with a card under a number made before, as a browser would do it."""
    item = await stage.shirt()
    with record.step("number"):
        intent = await buyer.intend(amount=SHIRT_PRICE)
    with record.step("widget"):
        key = await stage.card_key(card, intent)
    placed = await order(
        record, buyer, shirts(item), pay_with="card", card_key=key, payment_id=intent.payment_id
    )
    record.check(placed.paid, "the order is not paid")
    return placed, intent, key


async def given_back(record: Record, buyer: Session, payment_id: str, refunded: int) -> Payment:
    """Wait until so many won of a payment are given back, as a timed step."""
    with record.step("give back"):
        payment = await buyer.payment_until(payment_id, lambda seen: seen.refunded == refunded and seen.rests)
    record.check(payment.refunded == refunded, f"{payment.refunded:,} won were given back")
    return payment


async def number_first(stage: Stage, record: Record) -> None:
    """A number, the widget, the order: the card is charged under the number, and for its amount alone."""
    buyer = await stage.buyer()
    placed, intent, _ = await paid_by_card(stage, record, buyer)
    payment = await buyer.payment(intent.payment_id)
    record.check(payment.status == "CAPTURED", f"the payment is {payment.status}")
    record.check(payment.order_id == placed.id, "the payment is for another order")


async def number_for_an_order(stage: Stage, record: Record) -> None:
    """A number for an order that is to be paid later; nobody else can pay under it, and it pays once."""
    buyer, thief, item = await stage.buyer(), await stage.buyer(), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    intent = await buyer.intend(order_id=completed.id)
    record.check(intent.amount == SHIRT_PRICE, f"the number is for {intent.amount:,} won")
    try:
        await thief.pay(completed.id, "card", payment_id=intent.payment_id)
    except Refused as refusal:
        record.check(refusal.status in (404, 422), f"another's payment answers {refusal.status}")
    else:
        record.check(False, "somebody else paid under the number")
    with record.step("pay"):
        key = await stage.card_key(GOOD, intent)
        payment = await buyer.pay(completed.id, "card", card_key=key, payment_id=intent.payment_id)
    record.check(payment.id == intent.payment_id, "it was paid under another number")
    with record.step("confirm"):
        record.check((await buyer.until(completed.id, lambda seen: seen.paid)).paid, "the order is not paid")


async def keys_refused(stage: Stage, record: Record) -> None:
    """A key that has paid already, another's number, a number for another amount: the orders fail."""
    buyer, thief, item = await stage.buyer(), await stage.buyer(), await stage.shirt()
    _, used, key = await paid_by_card(stage, record, buyer)

    async def declined(who: Session, quantity: int, card_key: str, number: str | None) -> None:
        line = shirts(item, quantity)
        end = await order(record, who, line, pay_with="card", card_key=card_key, payment_id=number)
        codes.append(card_says(end))

    codes: list[str] = []
    await declined(buyer, 1, key, None)
    await declined(thief, 1, await stage.card_key(GOOD), used.payment_id)
    other = await buyer.intend(amount=SHIRT_PRICE)
    await declined(buyer, 2, await stage.card_key(GOOD, other), other.payment_id)
    due = ["PAYMENT_KEY_USED", "INTENT_UNKNOWN", "AMOUNT_DIFFERS"]
    record.check(codes == due, f"the cards were declined as {codes}")
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def part_by_points(stage: Stage, record: Record) -> None:
    """An admin gives a part back, twice: the order stands, until the parts add up to the whole."""
    buyer, item = await stage.buyer(points=SHIRT_PRICE), await stage.shirt()
    completed = await order(record, buyer, shirts(item))
    payment = await buyer.pay(completed.id, "points")
    await buyer.until(completed.id, lambda seen: seen.paid)
    with record.step("refund a part"):
        await stage.admin.refund(payment.id, PART)
    part = await given_back(record, buyer, payment.id, PART)
    record.check(part.status == "PARTLY_REFUNDED", f"the payment is {part.status}")
    record.check(await buyer.balance() == PART, "the part is not in the account")
    record.check((await buyer.order(completed.id)).status == "COMPLETED", "the order did not stand")
    try:
        await stage.admin.refund(payment.id, SHIRT_PRICE - PART + 1)
    except Refused as refusal:
        record.check(refusal.status == 422, f"more than is left answers {refusal.status}")
    else:
        record.check(False, "more was given back than was paid")
    with record.step("refund the rest"):
        await stage.admin.refund(payment.id, SHIRT_PRICE - PART)
    record.ended(await buyer.until(completed.id, lambda seen: seen.settled and seen.status != "COMPLETED"))
    record.check(await buyer.balance() == SHIRT_PRICE, "the points do not add up")
    record.check((await buyer.payment(payment.id)).status == "REFUNDED", "the payment is not refunded")
    record.check(await stage.stock(item) == 10, "the stock was not given back")


async def part_by_card(stage: Stage, record: Record) -> None:
    """An admin gives a part back to a card; a later cancel gives back the rest, and no more."""
    buyer = await stage.buyer()
    placed, intent, _ = await paid_by_card(stage, record, buyer)
    with record.step("refund a part"):
        await stage.admin.refund(intent.payment_id, PART)
    part = await given_back(record, buyer, intent.payment_id, PART)
    record.check(part.status == "PARTLY_REFUNDED", f"the payment is {part.status}")
    await buyer.cancel(placed.id)
    record.ended(await buyer.until(placed.id, lambda seen: seen.settled and seen.status != "COMPLETED"))
    whole = await given_back(record, buyer, intent.payment_id, SHIRT_PRICE)
    record.check(whole.status == "REFUNDED", f"the payment is {whole.status}")


async def part_at_the_pg(stage: Stage, record: Record) -> None:
    """A person at the payment gateway gives a part back: the shop hears of it, and the order stands."""
    buyer = await stage.buyer()
    placed, intent, key = await paid_by_card(stage, record, buyer)
    with record.step("cancel at the PG"):
        await stage.cancel_at_pg(key, PART)
    part = await given_back(record, buyer, intent.payment_id, PART)
    record.check(part.status == "PARTLY_REFUNDED", f"the payment is {part.status}")
    stands = await buyer.order(placed.id)
    record.check((stands.status, stands.paid) == ("COMPLETED", True), f"the order is {stands.status}")


async def needs_attention(stage: Stage, record: Record) -> tuple[Session, Order, OperatorPayment | None, str]:
    """An order whose card was charged and whose cancel the payment gateway refuses for good."""
    buyer = await stage.buyer()
    placed, intent, key = await paid_by_card(stage, record, buyer, CANCEL_REFUSED)
    await buyer.cancel(placed.id)
    with record.step("needs a person"):
        await buyer.payment_until(intent.payment_id, lambda seen: seen.status == "NEEDS_ATTENTION")
    listed = {str(one.id): one for one in await Payments(stage.admin).that_stand()}
    found = listed.get(intent.payment_id)
    record.check(found is not None, "no operator sees the payment")
    record.check(found is None or found.reason == "cancel_refused", "it needs a person for another reason")
    stands = await buyer.order(placed.id)
    record.check((stands.status, stands.settled) == ("FAIL", False), "the order is settled too early")
    return buyer, placed, found, key


async def resolved(
    stage: Stage, record: Record, placed: Order, payment: OperatorPayment | None, outcome: Outcome
) -> Order:
    """Close a payment, and wait until its order is settled."""
    reason = "agreed with the buyer on the phone"
    if payment is not None:
        with record.step("resolve"):
            desk = Payments(stage.admin)
            for _ in range(2):  # the same again changes nothing
                await desk.resolve(str(payment.id), outcome, reason)
        latest = (await desk.deeds())[0]
        record.check(latest.reason == reason, "the audit log does not say why")
    with record.step("settle"):
        end = await stage.admin.until_settled(placed.id, timeout_s=90)
    record.ended(end)
    return end


async def cancelled_after_all(stage: Stage, record: Record) -> None:
    """A person cancels at the payment gateway's own page: the shop hears of it, and nobody need say more."""
    buyer, placed, payment, key = await needs_attention(stage, record)
    with record.step("cancel at the PG"):
        await stage.cancel_at_pg(key)
        end = await buyer.until_settled(placed.id, timeout_s=90)
    record.ended(end)
    if payment is not None:
        now = await buyer.payment(str(payment.id))
        record.check(now.status == "REFUNDED", f"the payment is {now.status}")
        open_ones = [one.id for one in await Payments(stage.admin).that_stand()]
        record.check(payment.id not in open_ones, "it is still on the list of those that need a person")


async def resolved_as_returned(stage: Stage, record: Record) -> None:
    """The buyer has got the money by bank transfer, and a person says so."""
    buyer, placed, payment, _ = await needs_attention(stage, record)
    end = await resolved(stage, record, placed, payment, "returned")
    record.check(not end.paid, "the order still counts as paid")
    if payment is not None:
        now = await buyer.payment(str(payment.id))
        record.check(now.status == "REFUNDED", f"the payment is {now.status}")
        record.check(now.refunded == SHIRT_PRICE, f"{now.refunded:,} won count as given back")


async def resolved_as_kept(stage: Stage, record: Record) -> None:
    """A person decides that the shop keeps the money: the order fails for a reason of its own."""
    buyer, placed, payment, _ = await needs_attention(stage, record)
    await resolved(stage, record, placed, payment, "kept")
    if payment is not None:
        now = await buyer.payment(str(payment.id))
        record.check((now.status, now.refunded) == ("KEPT", 0), f"the payment is {now.status}")
        try:
            await Payments(stage.admin).resolve(str(payment.id), "returned", "changed our minds")
        except Refused as refusal:
            record.check(refusal.status == 409, f"closing it otherwise answers {refusal.status}")
        else:
            record.check(False, "it was closed twice, in two ways")


async def points_bought(stage: Stage, record: Record) -> None:
    """Points are bought with a card that is good; what is cancelled at the PG takes its points back."""
    buyer, amount = await stage.buyer(), 2 * PART
    try:
        await buyer.buy_points(amount, card_key=await stage.card_key(DECLINED))
    except Refused as refusal:
        record.ended(str(refusal.status))
    record.check(await buyer.balance() == 0, "a declined card has bought points")
    intent = await buyer.intend(amount=amount)
    key = await stage.card_key(GOOD, intent)
    with record.step("buy"):
        await buyer.buy_points(amount, card_key=key, payment_id=intent.payment_id)
        payment = await buyer.payment_until(intent.payment_id, lambda seen: seen.rests)
    record.ended(payment.status)
    record.check(payment.order_id is None, "the payment has an order")
    record.check(await buyer.balance() == amount, "the points are not in the account")
    with record.step("cancel at the PG"):
        await stage.cancel_at_pg(key, PART)
    part = await given_back(record, buyer, intent.payment_id, PART)
    record.ended(part.status)
    record.check(await buyer.balance() == amount - PART, "the points were not taken back")


async def points_given(stage: Stage, record: Record) -> None:
    """An admin gives points and takes some back, each for a reason; never more than there are."""
    buyer = await stage.buyer()
    user = await buyer.user_id()
    with record.step("give and take"):
        await stage.admin.give_points(user, 500, "for a late parcel")
        left = await stage.admin.give_points(user, -200, "given twice")
    record.check(left == 300 == await buyer.balance(), f"{left} points are left")
    try:
        await stage.admin.give_points(user, -301, "a slip")
    except Refused as refusal:
        record.ended(str(refusal.status))
    record.check(await buyer.balance() == 300, "the points changed")


CARD_PAYMENTS = (
    Scenario("paid with a card under a number made before", ("COMPLETED",), (), number_first),
    Scenario("a number for an order, paid later", ("COMPLETED",), (), number_for_an_order),
    Scenario(
        "a used key, another's number, another amount",
        ("COMPLETED", "CANCEL", "CANCEL", "CANCEL"),
        ("card_declined",),
        keys_refused,
    ),
    Scenario(
        "points given back in parts by an admin",
        ("COMPLETED", "CANCEL"),
        ("cancelled_by_admin",),
        part_by_points,
    ),
    Scenario(
        "a part given back to a card, then cancelled",
        ("COMPLETED", "CANCEL"),
        ("cancelled_by_buyer",),
        part_by_card,
    ),
    Scenario("a part given back at the payment gateway", ("COMPLETED",), (), part_at_the_pg),
    Scenario(
        "a refused cancel, done at the PG after all",
        ("COMPLETED", "CANCEL"),
        ("cancelled_by_buyer",),
        cancelled_after_all,
    ),
    Scenario(
        "a refused cancel, returned by a person",
        ("COMPLETED", "CANCEL"),
        ("cancelled_by_buyer",),
        resolved_as_returned,
    ),
    Scenario(
        "a refused cancel, kept by a person", ("COMPLETED", "FAIL"), ("payment_kept",), resolved_as_kept
    ),
    Scenario("points bought with a card", ("422", "CAPTURED", "PARTLY_REFUNDED"), (), points_bought),
    Scenario("points given by an admin", ("422",), (), points_given),
)
