"""Accounts and their ledger: whoever changes a balance holds its row and writes down why as well."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from payment_svc.contracts import LedgerEntry, LedgerKind
from payment_svc.domain import Movement
from shared.database.transaction import Reader, Transaction
from shared.errors import NotFound


async def lock_balances(tx: Transaction, user_ids: Iterable[int]) -> dict[int, int]:
    """The balances of the open accounts among these users, held until the commit.

    Always in the order of ids and in one statement: two lists that share accounts wait for each other, and
    never in a ring.
    """
    wanted = sorted(set(user_ids))
    if not wanted:
        return {}
    rows = await tx.rows(
        "SELECT user_id, balance FROM accounts WHERE user_id IN %s AND state = 'OPEN'"
        " ORDER BY user_id FOR UPDATE",
        (wanted,),
    )
    return dict(rows)


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


async def account(db: Reader, user_id: int, *, lock: bool = False) -> tuple[int, str] | None:
    """An account's balance and state."""
    row = await db.row(
        f"SELECT balance, state FROM accounts WHERE user_id = %s{' FOR UPDATE' if lock else ''}",  # noqa: S608
        (user_id,),
    )
    return (row[0], row[1]) if row else None


async def balance(db: Reader, user_id: int, *, lock: bool = False) -> int:
    """The points of an open account. Raises `NotFound` where there is none."""
    found = await account(db, user_id, lock=lock)
    if found is None or found[1] != "OPEN":
        raise NotFound("There is no such point account.")
    return found[0]


async def grant(tx: Transaction, user_id: int, delta: int, balance: int, grant_id: UUID, note: str) -> None:
    """Write down what an admin gives or takes; the account is held already, and has `balance` afterwards."""
    await _append(tx, [(user_id, delta, balance, "grant", None, None, grant_id, note, tx.now)])
    await _set_balances(tx, {user_id: balance})


async def find_grant(db: Reader, grant_id: UUID) -> int | None:
    """The balance right after a grant, if it was made."""
    row = await db.row("SELECT balance FROM ledger WHERE grant_id = %s", (grant_id,))
    return row[0] if row else None


async def credited(db: Reader, user_id: int, payment_id: UUID) -> int | None:
    """How many points a purchase brought that have not been taken back; None where it never brought any."""
    row = await db.row(
        "SELECT SUM(delta) FROM ledger WHERE user_id = %s AND payment_id = %s", (user_id, payment_id)
    )
    return None if row is None or row[0] is None else int(row[0])


async def history(db: Reader, user_id: int, *, limit: int, before: int | None) -> list[LedgerEntry]:
    """The newest `limit` ledger entries of an account that are older than the entry `before`."""
    rows = await db.rows(
        "SELECT id, at, kind, delta, balance, order_id, payment_id, note FROM ledger"
        " WHERE user_id = %s AND id < %s ORDER BY id DESC LIMIT %s",
        (user_id, before or 2**63 - 1, limit),
    )
    return [
        LedgerEntry(
            id=entry_id,
            at=at,
            kind=kind,
            delta=delta,
            balance=balance,
            order_id=UUID(order_id) if order_id else None,
            payment_id=UUID(payment_id) if payment_id else None,
            note=note,
        )
        for entry_id, at, kind, delta, balance, order_id, payment_id, note in rows
    ]


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
