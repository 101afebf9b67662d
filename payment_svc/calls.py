"""Answers to calls: opening, reading and charging point accounts; paying, looking, refunding."""

from uuid import UUID

from order_svc.contracts import GetPaymentDue
from payment_svc import accounts, cards, domain, keys, payments, toss
from payment_svc.contracts import (
    Balance,
    Charge,
    Charged,
    GetBalance,
    GetHistory,
    GetPayment,
    LedgerPage,
    OpenAccount,
    Pay,
    PaymentView,
    RefundPayment,
    TakeNotice,
)
from payment_svc.domain import Ask, Payment, State
from payment_svc.settings import PaymentSettings
from shared.database import Database
from shared.errors import Conflict, FieldError, NotFound, RuleBroken, Unauthorized
from shared.rpc import Rpc
from shared.transaction import Reader, Transaction


async def open_account(call: OpenAccount, tx: Transaction) -> Balance:
    """Open the account, once. Two callers at once: the slower one's unit runs again and finds it open."""
    found = await accounts.account(tx, call.user_id, lock=True)
    if found is None:
        await accounts.open_account(tx, call.user_id)
        return Balance(balance=0)
    balance, state = found
    if state != "OPEN":
        raise Conflict("This user's registration has failed; the account stays closed.")
    return Balance(balance=balance)


async def get_balance(call: GetBalance, db: Reader) -> Balance:
    """The balance as it is now."""
    return Balance(balance=await _balance(db, call.user_id))


async def charge(call: Charge, tx: Transaction, settings: PaymentSettings) -> Charged:
    """Add points, once for each idempotency key of the user; the held account makes twins wait."""
    domain.check_charge(call.amount, settings.points_charge_max)
    balance = await _balance(tx, call.user_id, lock=True)
    if earlier := await accounts.find_charge(tx, call.user_id, call.idempotency_key):
        amount, balance_then = earlier
        if amount != call.amount:
            raise RuleBroken(
                "This idempotency key was used for another amount.",
                errors=[FieldError("Idempotency-Key", f"Used for a charge of {amount}")],
            )
        return Charged(balance=balance_then, amount=amount)
    balance = domain.balance_after(balance, call.amount, settings.points_balance_max)
    await accounts.charge(tx, call.user_id, call.amount, balance, call.idempotency_key)
    return Charged(balance=balance, amount=call.amount)


async def get_history(call: GetHistory, db: Reader) -> LedgerPage:
    """A page of the ledger."""
    await _balance(db, call.user_id)
    entries = await accounts.history(db, call.user_id, limit=call.limit + 1, before=call.after)
    page = entries[: call.limit]
    return LedgerPage(items=page, next=page[-1].id if len(entries) > call.limit else None)


async def pay(call: Pay, db: Database, rpc: Rpc, settings: PaymentSettings) -> PaymentView:
    """Take the points or charge the card, once; what the PG leaves open is answered as ASKING."""
    domain.check_method(call.method, call.payment_key)
    known = await db.read(lambda reader: keys.find(reader, call))
    payment = await _payment(db, known or await _pay_now(call, db, rpc, settings))
    if payment.state is State.REJECTED:
        raise domain.refusal(payment)
    return domain.view(payment)


async def get_payment(call: GetPayment, db: Reader) -> PaymentView:
    """A payment as it is now."""
    payment = await payments.find(db, call.payment_id)
    if payment is None or payment.user_id is None or call.user_id not in (None, payment.user_id):
        raise NotFound(f"There is no payment {call.payment_id}.")
    return domain.view(payment)


async def refund(call: RefundPayment, db: Database, rpc: Rpc) -> PaymentView:
    """Cancel the payment's order: it gives back all that was taken for it, this payment included."""
    payment = await _payment(db, call.payment_id)
    if payment.state is State.REJECTED:
        raise Conflict("The payment was declined: there is nothing to give back.")
    if payment.state in (State.ASKING, State.HELD):
        await cards.call_off(rpc, payment)
    return domain.view(await _payment(db, call.payment_id))


async def take_notice(call: TakeNotice, tx: Transaction, settings: PaymentSettings) -> None:
    """Something changed at the PG: ask it what is true now. Whatever a notice says, it is not believed."""
    secret = settings.pg_webhook_secret
    if not toss.is_genuine(secret, call.payload, call.signature, call.transmitted_at, tx.now):
        raise Unauthorized("The webhook's signature is not valid.")
    payment_id = toss.read_notice(call.payload)
    if payment_id is not None:
        await payments.ask_at(tx, payment_id, tx.now)


async def _pay_now(call: Pay, db: Database, rpc: Rpc, settings: PaymentSettings) -> UUID:
    """Pay what the order costs; the id of the payment, which may be that of a twin that was faster."""
    try:
        due = await rpc.call(GetPaymentDue(order_id=call.order_id, buyer_id=call.user_id))
    except Conflict:  # paid already: perhaps just now, by a twin of this very request
        twin = await db.read(lambda reader: keys.find(reader, call))
        if twin is None:
            raise
        return twin
    begun = await db.transaction(lambda tx: _begin(call, due.amount, tx, settings))
    if begun.payment_id == call.payment_id and begun.state is State.ASKING:
        await cards.settle(db, toss.gateway(settings), begun, settings)
    return begun.payment_id


async def _begin(call: Pay, amount: int, tx: Transaction, settings: PaymentSettings) -> Payment:
    """Write the payment down, decided or to be asked about; of two at once for one order, one is refused."""
    # Waits for a twin of this very request; only then can its key be seen.
    latest = await payments.lock_latest(tx, [call.order_id])
    earlier = await keys.find(tx, call)
    if earlier is not None and (found := await payments.find(tx, earlier)):
        return found
    ask = Ask(
        order_id=call.order_id,
        payment_id=call.payment_id,
        attempt=domain.next_attempt(latest.get(call.order_id)),
        user_id=call.user_id,
        method=call.method,
        amount=amount,
        card_key=domain.card_key(call.method, call.payment_key, settings.pg_test_key, call.payment_id),
    )
    balances = await accounts.lock_balances(tx, [call.user_id] if call.method == "points" else [])
    [payment], movements = domain.decide([ask], balances)
    await payments.add(tx, [payment], ask_in_s=cards.LEASE_S)
    await accounts.apply(tx, "capture", movements)
    await keys.add(tx, call)
    answer = domain.verdict(payment)
    if answer is not None:
        tx.emit(answer)
    return payment


async def _payment(db: Database, payment_id: UUID) -> Payment:
    payment = await db.read(lambda reader: payments.find(reader, payment_id))
    if payment is None or payment.user_id is None:
        raise NotFound(f"There is no payment {payment_id}.")
    return payment


async def _balance(db: Reader, user_id: int, *, lock: bool = False) -> int:
    found = await accounts.account(db, user_id, lock=lock)
    if found is None or found[1] != "OPEN":
        raise NotFound("There is no such point account.")
    return found[0]
