"""Calls that ask others between their units of work: intents, paying later, buying points, refunds in part.

What they begin is written down before the PG is asked, with the time when `cards.reconcile` will ask if this
process dies; what the PG leaves open is answered as ASKING. Whoever comes with the same idempotency key then
has the same payment in hand. A payment that was declined is an answer, too: its key is used up.
"""

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from order_svc.contracts import GetPaymentDue
from payment_svc import cards, domain, pgs, settling
from payment_svc.contracts import (
    BuyPoints,
    GetPayment,
    GetPurchase,
    Intent,
    MakeIntent,
    Pay,
    PaymentView,
    PointsBought,
    RefundPayment,
)
from payment_svc.domain import Ask, Payment, State
from payment_svc.settings import PaymentSettings
from payment_svc.store import accounts, audit, intents, payments
from shared.database import Database, Idempotency, Reader, Transaction
from shared.errors import Conflict, FieldError, NotFound, RuleBroken
from shared.rpc import Rpc


async def make_intent(call: MakeIntent, db: Database, rpc: Rpc, settings: PaymentSettings) -> Intent:
    """Give out the number of a payment to be, for what its order costs or for an amount."""
    if (call.order_id is None) == (call.amount is None):
        errors = [FieldError("order_id", "or amount: exactly one of the two")]
        raise RuleBroken("A payment number is made for an order or for an amount.", errors=errors)
    if call.amount is not None and call.amount > domain.CARD_MAX:
        errors = [FieldError("amount", f"Expected 1 to {domain.CARD_MAX}")]
        raise RuleBroken(f"No card pays more than {domain.CARD_MAX} at once.", errors=errors)
    amount = call.amount
    if call.order_id is not None:
        due = await rpc.call(GetPaymentDue(order_id=call.order_id, buyer_id=call.user_id))
        amount = due.amount

    async def make(tx: Transaction) -> domain.Intent:
        held = (await intents.lock(tx, [call.payment_id])).get(call.payment_id)
        if held is not None and held.user_id == call.user_id:
            return held
        intent = domain.Intent(
            payment_id=call.payment_id,
            user_id=call.user_id,
            order_id=call.order_id,
            amount=amount,
            card_key=None,
            expires_at=intents.end(tx.now, settings),
            used_at=None,
        )
        await intents.add(tx, intent)
        return intent

    made = await db.transaction(make)
    return Intent(payment_id=made.payment_id, amount=made.amount or 0, expires_at=made.expires_at)


async def pay(
    call: Pay, db: Database, rpc: Rpc, settings: PaymentSettings, idempotency: Idempotency
) -> PaymentView:
    """Take the points or charge the card, once."""
    call = replace(call, payment_id=_number(idempotency, call.payment_id))
    domain.check_method(call.method, call.payment_key, has_intent=call.has_intent)
    payment = await db.read(lambda reader: payments.find(reader, call.payment_id))
    if payment is None:
        try:
            due = await rpc.call(GetPaymentDue(order_id=call.order_id, buyer_id=call.user_id))
        except Conflict:  # unless a twin of this very call was faster
            await db.read(idempotency.look_again)
            call = replace(call, payment_id=_number(idempotency, call.payment_id))
            payment = await db.read(lambda reader: payments.find(reader, call.payment_id))
            if payment is None:
                raise
        else:
            payment = await db.transaction(
                lambda tx: _begin_paying(call, due.amount, tx, settings, idempotency)
            )
            payment = await _ask(db, rpc, payment, settings)
    elif (payment.order_id, payment.user_id) != (call.order_id, call.user_id):
        raise domain.unusable(domain.number_used())
    view = domain.view(payment)
    if payment.state is State.REJECTED:
        await db.transaction(lambda tx: idempotency.keep(tx, view))
        raise domain.refusal(payment)
    return view


def payment_as_it_is(payment: PaymentView) -> GetPayment:
    """What is asked when a payment comes again under its idempotency key."""
    return GetPayment(payment_id=payment.id, or_refusal=True)


async def buy_points(
    call: BuyPoints, db: Database, rpc: Rpc, settings: PaymentSettings, idempotency: Idempotency
) -> PointsBought:
    """Charge a card, and add what was charged to the points."""
    call = replace(call, payment_id=_number(idempotency, call.payment_id))
    payment = await db.read(lambda reader: payments.find(reader, call.payment_id))
    if payment is None:
        payment = await db.transaction(lambda tx: _begin_buying(call, tx, settings, idempotency))
        payment = await _ask(db, rpc, payment, settings)
    elif (payment.order_id, payment.user_id, payment.amount) != (None, call.user_id, call.amount):
        raise domain.unusable(domain.number_used())
    bought = await db.read(lambda reader: _bought(reader, payment))
    if payment.state is State.REJECTED:
        await db.transaction(lambda tx: idempotency.keep(tx, bought))
        raise domain.refusal(payment)
    return bought


async def get_purchase(call: GetPurchase, db: Reader) -> PointsBought:
    """Points that were bought, as it stands now."""
    payment = await payments.find(db, call.payment_id)
    if payment is None or payment.order_id is not None:
        raise NotFound(f"There is no purchase of points {call.payment_id}.")
    if payment.state is State.REJECTED:
        raise domain.refusal(payment)
    return await _bought(db, payment)


def purchase_as_it_is(bought: PointsBought) -> GetPurchase:
    """What is asked when a purchase comes again under its idempotency key."""
    return GetPurchase(payment_id=bought.payment_id)


async def refund(
    call: RefundPayment, db: Database, rpc: Rpc, settings: PaymentSettings, idempotency: Idempotency
) -> PaymentView:
    """Give a part of a payment back; all of it by cancelling its order, which gives it back in turn."""
    call = replace(call, refund_id=_number(idempotency, call.refund_id))
    await payments.known(db, call.payment_id)
    payment, is_whole = await db.transaction(lambda tx: _begin_refund(call, tx, settings, idempotency))
    if is_whole:
        await cards.call_off(rpc, payment)
        payment = await payments.known(db, call.payment_id)
    elif payment.refund_id == call.refund_id:
        payment = await _ask(db, rpc, payment, settings)
    if payment.refund_id == call.refund_id and (refused := payment.details.get("refund_refused")):
        why = f"{refused['code']} {refused['message']}".rstrip()
        raise RuleBroken(
            f"The payment gateway refuses to give back {refused['amount']}: {why}",
            errors=[FieldError("amount", why)],
        )
    return domain.view(payment)


async def _begin_paying(
    call: Pay, amount: int, tx: Transaction, settings: PaymentSettings, idempotency: Idempotency
) -> Payment:
    """Write the payment down, decided or to be asked about; of two at once for one order, one is refused."""
    await idempotency.begin(tx, call.payment_id)
    latest = (await payments.lock_latest(tx, [call.order_id])).get(call.order_id)
    if latest is not None and latest.payment_id == call.payment_id:
        return latest  # a twin of this very call was faster
    attempt = domain.next_attempt(latest)
    ask = Ask(
        order_id=call.order_id,
        payment_id=call.payment_id,
        attempt=attempt,
        user_id=call.user_id,
        method=call.method,
        amount=amount,
        card_key=domain.card_key(call.method, call.payment_key, settings.pg_test_key, call.payment_id),
    )
    return await _begin(tx, ask, settings, has_intent=call.has_intent)


async def _begin_buying(
    call: BuyPoints, tx: Transaction, settings: PaymentSettings, idempotency: Idempotency
) -> Payment:
    await idempotency.begin(tx, call.payment_id)
    balance = await accounts.balance(tx, call.user_id, lock=True)
    domain.check_charge(
        call.amount, balance, largest=settings.points_charge_max, most=settings.points_balance_max
    )
    earlier = await payments.lock(tx, [call.payment_id])
    if earlier:
        return earlier[0]  # a twin of this very call was faster
    ask = Ask(
        order_id=None,
        payment_id=call.payment_id,
        user_id=call.user_id,
        method="card",
        amount=call.amount,
        card_key=domain.card_key("card", call.payment_key, settings.pg_test_key, call.payment_id),
    )
    return await _begin(tx, ask, settings, has_intent=call.has_intent)


async def _begin(tx: Transaction, ask: Ask, settings: PaymentSettings, *, has_intent: bool) -> Payment:
    """Write a payment down that somebody waits for. Raises `RuleBroken` for an unusable number or key."""
    refusal = None
    if has_intent:
        held = (await intents.lock(tx, [ask.payment_id])).get(ask.payment_id)
        refusal = domain.refusal_of_intent(
            held, user_id=ask.user_id, order_id=ask.order_id, amount=ask.amount, now=tx.now
        )
    if refusal is None and await payments.lock_keys(tx, [ask.card_key]):
        refusal = domain.key_used()
    if refusal is not None:
        for twin in await payments.lock(tx, [ask.payment_id]):
            if (twin.order_id, twin.user_id) == (ask.order_id, ask.user_id):
                return twin  # of this very call, which was faster and used them
        raise domain.unusable(refusal)
    balances = await accounts.lock_balances(tx, [ask.user_id] if domain.uses_points(ask.method) else [])
    # This process asks the PG itself; the job does if it dies over it.
    ask_at = tx.now + timedelta(seconds=settings.pg_lease_s)
    [payment], movements = domain.decide([ask], balances, ask_at=ask_at)
    payment = replace(payment, created_at=tx.now)
    await payments.add(tx, [payment])
    if has_intent:
        await intents.use(tx, [ask.payment_id])
    await accounts.apply(tx, "capture", movements)
    answer = domain.verdict(payment)
    if answer is not None:
        tx.emit(answer)
    return payment


async def _begin_refund(
    call: RefundPayment, tx: Transaction, settings: PaymentSettings, idempotency: Idempotency
) -> tuple[Payment, bool]:
    """Refund a part of points at once, write down that the PG is to be asked for a part of a charge.

    Returns the payment, and whether its order is to be cancelled: what adds up to the whole is left to that.
    """
    await idempotency.begin(tx, call.refund_id)
    [payment] = await payments.lock(tx, [call.payment_id])
    if payment.state is State.REJECTED:
        raise Conflict("The payment was declined: there is nothing to give back.")
    asked = await audit.refund_asked(tx, call.payment_id, call.refund_id)
    if asked is not None:
        return payment, asked["whole"] and payment.state in (State.ASKING, State.HELD)
    whole = call.amount is None and payment.order_id is not None
    if whole and payment.state in (State.RELEASING, State.RELEASED):
        return payment, False  # asked for, or done already
    part = None
    if not whole or payment.state is not State.ASKING:
        part = domain.part_to_refund(payment, call.amount, call.refund_id)
    details = {
        "amount": payment.left if part is None else part,
        "refund_id": str(call.refund_id),
        "whole": part is None,
    }
    await audit.note(tx, call.by, "payment.refunded", call.payment_id, details)
    if part is None:
        return payment, True
    if payment.by_card:
        ask_at = tx.now + timedelta(seconds=settings.pg_lease_s)
        begun = settling.begin_refund(payment, part, call.refund_id, ask_at)
        await payments.save(tx, [begun])
        return begun, False
    balances = await accounts.lock_balances(tx, [payment.user_id] if payment.user_id else [])
    movements = settling.points_back(payment, part, balances)
    await accounts.apply(tx, "refund", movements)
    return await cards.change(tx, payment, settling.refund_points(payment, part, call.refund_id)), False


def _number(idempotency: Idempotency, new: UUID) -> UUID:
    """The id of the payment or refund to make: a try under this key may have begun one, and then died."""
    return UUID(idempotency.begun) if idempotency.begun else new


async def _bought(db: Reader, payment: Payment) -> PointsBought:
    return PointsBought(
        payment_id=payment.payment_id,
        amount=payment.amount or 0,
        status=domain.status(payment),
        balance=await accounts.balance(db, payment.user_id or 0),
    )


async def _ask(db: Database, rpc: Rpc, payment: Payment, settings: PaymentSettings) -> Payment:
    """Ask the PG about a payment that was begun just now, and return how it stands then."""
    if payment.state is not State.ASKING and not payment.refunding:
        return payment
    await cards.settle(db, rpc, pgs.adapter(settings), payment, settings)
    return await payments.known(db, payment.payment_id)
