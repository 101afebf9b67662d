"""Answers to calls: opening, reading and charging point accounts."""

from payment_svc import accounts, domain
from payment_svc.contracts import (
    Balance,
    Charge,
    Charged,
    GetBalance,
    GetHistory,
    LedgerPage,
    OpenAccount,
)
from payment_svc.settings import PaymentSettings
from shared.database import Reader, Transaction
from shared.errors import Conflict, FieldError, NotFound, RuleBroken


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


async def _balance(db: Reader, user_id: int, *, lock: bool = False) -> int:
    found = await accounts.account(db, user_id, lock=lock)
    if found is None or found[1] != "OPEN":
        raise NotFound("There is no such point account.")
    return found[0]
