"""Accounts and their ledger: whoever changes a balance holds its row and writes down why as well."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from payment_svc.contracts import LedgerEntry, LedgerKind
from payment_svc.domain import Movement
from shared.database import Reader, Row, Select, Transaction
from shared.errors import NotFound


class Account(Row):
    """An account as it is now."""

    balance: int
    state: str


class _Balance(Row):
    user_id: int
    balance: int


class _Granted(Row):
    balance: int


class _Credited(Row):
    points: int | None


_LOCKING = Select(
    _Balance, "FROM accounts WHERE user_id IN %s AND state = 'OPEN' ORDER BY user_id FOR UPDATE"
)
_ACCOUNT = Select(Account, "FROM accounts WHERE user_id = %s")
_LOCKING_ONE = _ACCOUNT + "FOR UPDATE"
_GRANT = Select(_Granted, "FROM ledger WHERE grant_id = %s")
_CREDITED = Select(
    _Credited,
    "FROM ledger WHERE user_id = %s AND payment_id = %s",
    made={"points": "SUM(delta)"},
)
_HISTORY = Select(LedgerEntry, "FROM ledger WHERE user_id = %s AND id < %s ORDER BY id DESC LIMIT %s")


async def lock_balances(tx: Transaction, user_ids: Iterable[int]) -> dict[int, int]:
    """The balances of the open accounts among these users, held until the commit.

    Always in the order of ids and in one statement: two lists that share accounts wait for each other, and
    never in a ring.
    """
    [found] = await tx.ask(_LOCKING.among(set(user_ids)))
    return {one.user_id: one.balance for one in found}


async def apply(tx: Transaction, kind: LedgerKind, movements: Sequence[Movement]) -> None:
    """Write movements into the ledger and their last balances into the accounts, which are held already."""
    await _append(
        tx,
        [
            (m.user_id, m.delta, m.balance, kind, m.order_id, m.payment_id, None, None, tx.now)
            for m in movements
        ],
    )
    await _set_balances(tx, {m.user_id: m.balance for m in movements})


async def open_account(tx: Transaction, user_id: int, *, points: int = 0) -> None:
    """Make an account that is not there yet, and say in its ledger what it began with."""
    await tx.write(
        "INSERT INTO accounts (user_id, balance, state, opened_at) VALUES (%s, %s, 'OPEN', %s)",
        (user_id, points, tx.now),
    )
    await _append(tx, [(user_id, points, points, "opening", None, None, None, None, tx.now)])


async def close_account(tx: Transaction, user_id: int) -> None:
    """Close an account for good, also one that was never opened: it cannot be opened any more."""
    await tx.write(
        "INSERT INTO accounts (user_id, balance, state, opened_at) VALUES (%s, 0, 'CLOSED', %s)"
        " ON DUPLICATE KEY UPDATE state = VALUES(state)",
        (user_id, tx.now),
    )


async def account(db: Reader, user_id: int, *, lock: bool = False) -> Account | None:
    """An account, if there is one; with `lock` held until the commit."""
    return await db.find_one(_LOCKING_ONE if lock else _ACCOUNT, user_id)


async def balance(db: Reader, user_id: int, *, lock: bool = False) -> int:
    """The points of an open account. Raises `NotFound` where there is none."""
    found = await account(db, user_id, lock=lock)
    if found is None or found.state != "OPEN":
        raise NotFound("There is no such point account.")
    return found.balance


async def grant(tx: Transaction, user_id: int, delta: int, balance: int, grant_id: UUID, note: str) -> None:
    """Write down what an admin gives or takes; the account is held already, and has `balance` afterwards."""
    await _append(tx, [(user_id, delta, balance, "grant", None, None, grant_id, note, tx.now)])
    await _set_balances(tx, {user_id: balance})


async def find_grant(db: Reader, grant_id: UUID) -> int | None:
    """The balance right after a grant, if it was made."""
    found = await db.find_one(_GRANT, grant_id)
    return found.balance if found else None


async def credited(db: Reader, user_id: int, payment_id: UUID) -> int | None:
    """How many points a purchase brought that have not been taken back; None where it never brought any."""
    [found] = await db.find(_CREDITED, user_id, payment_id)
    return found.points


async def history(db: Reader, user_id: int, *, limit: int, before: int | None) -> list[LedgerEntry]:
    """The newest `limit` ledger entries of an account that are older than the entry `before`."""
    return await db.find(_HISTORY, user_id, before or 2**63 - 1, limit)


async def _append(tx: Transaction, rows: Sequence[Sequence[object]]) -> None:
    await tx.write_many(
        "INSERT INTO ledger (user_id, delta, balance, kind, order_id, payment_id, grant_id, note, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        rows,
    )


async def _set_balances(tx: Transaction, balances: Mapping[int, int]) -> None:
    """In one statement. The rows are there and held; the insert is only a way to name many of them."""
    await tx.write_many(
        "INSERT INTO accounts (user_id, balance, state, opened_at) VALUES (%s, %s, 'OPEN', %s)"
        " ON DUPLICATE KEY UPDATE balance = VALUES(balance)",
        [(user_id, balance, tx.now) for user_id, balance in sorted(balances.items())],
    )
