"""Answers to calls about points and payments: looking, granting points, closing what needs attention.

What asks the PG between its units of work stands in `paying.py`.
"""

from payment_svc import cards, domain, pgs, settling
from payment_svc.contracts import (
    AuditPage,
    Balance,
    BringKey,
    GetBalance,
    GetHistory,
    GetPayment,
    GrantPoints,
    LedgerPage,
    ListAudit,
    ListPayments,
    OpenAccount,
    OperatorPayment,
    PaymentPage,
    PaymentView,
    ResolvePayment,
    TakeNotice,
)
from payment_svc.domain import Intent, Payment, State
from payment_svc.settings import PaymentSettings
from payment_svc.store import accounts, audit, intents, payments
from shared.database import Database, Reader, Transaction, page
from shared.errors import Conflict, NotFound
from shared.rpc import Rpc

_STATES = {
    "PARTLY_REFUNDED": State.HELD,
    **{domain.shown(state): state for state in State},
}
"""The state behind each status; of those that are HELD the refunds tell which."""


async def open_account(call: OpenAccount, tx: Transaction) -> Balance:
    """Open the account, once. Two callers at once: the slower one's unit runs again and finds it open."""
    found = await accounts.account(tx, call.user_id, lock=True)
    if found is None:
        await accounts.open_account(tx, call.user_id)
        return Balance(balance=0)
    if found.state != "OPEN":
        raise Conflict("This user's registration has failed; the account stays closed.")
    return Balance(balance=found.balance)


async def get_balance(call: GetBalance, db: Reader) -> Balance:
    """The balance as it is now."""
    return Balance(balance=await accounts.balance(db, call.user_id))


async def grant_points(call: GrantPoints, tx: Transaction, settings: PaymentSettings) -> Balance:
    """Give or take points, once for each grant; the held account makes twins wait."""
    balance = await accounts.balance(tx, call.user_id, lock=True)
    earlier = await accounts.find_grant(tx, call.grant_id)
    if earlier is not None:
        return Balance(balance=earlier)
    after = domain.balance_after(balance, call.delta, settings.points_balance_max)
    await accounts.grant(tx, call.user_id, call.delta, after, call.grant_id, call.reason)
    details = {"delta": call.delta, "reason": call.reason}
    await audit.note(tx, call.by, "points.granted", call.user_id, details)
    return Balance(balance=after)


async def get_history(call: GetHistory, db: Reader) -> LedgerPage:
    """A page of the ledger."""
    await accounts.balance(db, call.user_id)
    items, after = await page(
        call.limit,
        lambda most: accounts.history(db, call.user_id, limit=most, before=call.after),
        lambda entry: entry.id,
    )
    return LedgerPage(items=items, next=after)


async def bring_key(call: BringKey, tx: Transaction, settings: PaymentSettings) -> None:
    """Keep the key with its number. What cannot be used is left alone: the order will be told so."""
    held = await intents.lock(tx, [call.payment_id])
    intent = held.get(call.payment_id)
    if intent is not None and intent.user_id == call.user_id and intent.used_at is None:
        await intents.bring_key(tx, call.payment_id, call.payment_key)
    elif intent is None and call.is_new:
        await intents.add(
            tx,
            Intent(
                payment_id=call.payment_id,
                user_id=call.user_id,
                order_id=None,
                amount=None,
                card_key=call.payment_key,
                expires_at=intents.end(tx.now, settings),
                used_at=None,
            ),
        )


async def get_payment(call: GetPayment, db: Reader) -> PaymentView:
    """A payment as it is now."""
    payment = await payments.find(db, call.payment_id)
    if payment is None or payment.user_id is None or call.user_id not in (None, payment.user_id):
        raise NotFound(f"There is no payment {call.payment_id}.")
    if call.or_refusal and payment.state is State.REJECTED:
        raise domain.refusal(payment)
    return domain.view(payment)


async def list_payments(call: ListPayments, db: Reader) -> PaymentPage:
    """A page of the payments of one status."""
    refunded = {"PARTLY_REFUNDED": True, "CAPTURED": False}.get(call.status)
    state = _STATES[call.status]
    shown, after = await page(
        call.limit,
        lambda most: payments.in_state(db, state, refunded=refunded, after=call.after, limit=most),
        lambda payment: payment.payment_id,
    )
    closed = await audit.resolutions(db, [one.payment_id for one in shown if one.resolved])
    items = [
        OperatorPayment(
            id=one.payment_id,
            order_id=one.order_id,
            user_id=one.user_id or 0,
            method=one.method or "points",
            amount=one.amount or 0,
            refunded=one.refunded,
            status=domain.status(one),
            reason=one.reason,
            details=one.details,
            created_at=one.created_at or db.now,
            changed_at=one.changed_at or db.now,
            ask_due_at=one.ask_due_at,
            resolution=closed.get(one.payment_id),
        )
        for one in shown
    ]
    return PaymentPage(items=items, next=after)


async def resolve(call: ResolvePayment, db: Database, rpc: Rpc) -> PaymentView:
    """Close a payment as a person decided; an order that would stand unpaid is called off first."""
    payment = await payments.known(db, call.payment_id)
    after = settling.resolved(payment, call.outcome, call.reason)
    if after.state is State.RELEASED and payment.state is not State.RELEASED:
        await cards.call_off(rpc, payment)

    async def close(tx: Transaction) -> Payment:
        [held] = await payments.lock(tx, [call.payment_id])
        closed = settling.resolved(held, call.outcome, call.reason)
        if closed == held:
            return held
        details = {"outcome": call.outcome, "reason": call.reason, "amount": held.left}
        await audit.note(tx, call.by, "payment.resolved", call.payment_id, details)
        return await cards.change(tx, held, closed)

    return domain.view(await db.transaction(close))


async def list_audit(call: ListAudit, db: Reader) -> AuditPage:
    """A page of the audit log."""
    items, after = await page(
        call.limit,
        lambda most: audit.entries(db, call, limit=most),
        lambda entry: entry.id,
    )
    return AuditPage(items=items, next=after)


async def take_notice(call: TakeNotice, tx: Transaction, settings: PaymentSettings) -> None:
    """Something may have changed at the PG: ask it what is true now. What a notice says is not believed."""
    notice = pgs.adapter(settings).read_notice(call.headers, call.body)
    payment_id = domain.number(notice.number) if notice else None
    if notice is not None and payment_id is not None:
        await payments.hint(tx, payment_id, unless=lambda payment: settling.is_known(payment, notice))


async def measure(db: Reader) -> None:
    """Tell the metrics how many payments need attention."""
    payments.NEEDING_ATTENTION.set(await payments.count(db, State.NEEDS_ATTENTION))


async def purge(db: Database) -> None:
    """Forget the numbers that ended long ago."""
    await intents.forget(db)
