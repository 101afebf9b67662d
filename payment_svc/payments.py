"""The payment rows: what was said to which order. They are what makes every repetition harmless."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from payment_svc.domain import Payment, State
from shared.transaction import Reader, Transaction

_COLUMNS = (
    "payment_id, order_id, attempt, state, user_id, method, amount, reason, details, card_key, asks,"
    " asked_at, created_at"
)


async def lock_latest(tx: Transaction, order_ids: Iterable[UUID]) -> dict[UUID, Payment]:
    """The latest payment of each of these orders that has one, held until the commit.

    Only the latest can count: another one is begun only when those before it hold nothing any more.
    """
    wanted = sorted(set(order_ids))
    if not wanted:
        return {}
    rows = await tx.rows(
        f"SELECT {_COLUMNS} FROM payments WHERE order_id IN %s ORDER BY order_id, attempt FOR UPDATE",  # noqa: S608
        (wanted,),
    )
    return {payment.order_id: payment for payment in map(_payment, rows)}


async def lock(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Payment]:
    """These payments, held until the commit."""
    wanted = sorted(set(payment_ids))
    if not wanted:
        return []
    rows = await tx.rows(
        f"SELECT {_COLUMNS} FROM payments WHERE payment_id IN %s ORDER BY order_id, attempt FOR UPDATE",  # noqa: S608
        (wanted,),
    )
    return [_payment(row) for row in rows]


async def find(db: Reader, payment_id: UUID) -> Payment | None:
    """One payment as it is now."""
    row = await db.row(f"SELECT {_COLUMNS} FROM payments WHERE payment_id = %s", (payment_id,))  # noqa: S608
    return _payment(row) if row else None


async def add(tx: Transaction, payments: Sequence[Payment], *, ask_in_s: float = 0.0) -> None:
    """Write new payments down; the PG is asked about those that need it `ask_in_s` from now.

    A twin that was faster shows as a duplicate key: the whole unit runs again.
    """
    ask_at = tx.now + timedelta(seconds=ask_in_s)
    await tx.write_many(
        "INSERT INTO payments (payment_id, order_id, attempt, state, user_id, method, amount, reason,"
        " details, card_key, asks, ask_due_at, created_at, changed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s, %s)",
        [
            (
                payment.payment_id,
                payment.order_id,
                payment.attempt,
                payment.state.value,
                payment.user_id,
                payment.method,
                payment.amount,
                payment.reason,
                msgspec.json.encode(payment.details).decode(),
                payment.card_key,
                ask_at if payment.state is State.ASKING else None,
                tx.now,
                tx.now,
            )
            for payment in payments
        ],
    )


async def move(
    tx: Transaction, payments: Iterable[Payment], state: State, *, ask_due_at: datetime | None = None
) -> None:
    """These payments, which are held by the transaction, stand at `state` from now on."""
    payment_ids = sorted(payment.payment_id for payment in payments if payment.state is not state)
    if payment_ids:
        await tx.write(
            "UPDATE payments SET state = %s, ask_due_at = %s, asks = 0, changed_at = %s"
            " WHERE payment_id IN %s",
            (state.value, ask_due_at, tx.now, payment_ids),
        )


async def refuse(tx: Transaction, payment: Payment, state: State, details: dict[str, Any]) -> None:
    """A payment whose card was not charged comes to rest at `state`."""
    await tx.write(
        "UPDATE payments SET state = %s, reason = 'card_declined', details = %s, ask_due_at = NULL,"
        " changed_at = %s WHERE payment_id = %s",
        (state.value, msgspec.json.encode(details).decode(), tx.now, payment.payment_id),
    )


async def take_due(tx: Transaction, *, lease_s: float, limit: int) -> list[Payment]:
    """Payments that the PG is to be asked about now; nobody else takes them for `lease_s` seconds."""
    rows = await tx.rows(
        f"SELECT {_COLUMNS} FROM payments WHERE ask_due_at <= %s ORDER BY ask_due_at LIMIT %s"  # noqa: S608
        " FOR UPDATE SKIP LOCKED",
        (tx.now, limit),
    )
    payments = [_payment(row) for row in rows]
    if payments:
        await tx.write(
            "UPDATE payments SET ask_due_at = %s, asks = asks + 1 WHERE payment_id IN %s",
            (tx.now + timedelta(seconds=lease_s), sorted(payment.payment_id for payment in payments)),
        )
    return payments


async def charging(tx: Transaction, payment: Payment) -> bool:
    """Note that the PG is about to be asked to charge a card; False if that is not wanted any more."""
    changed = await tx.execute(
        "UPDATE payments SET asked_at = %s WHERE payment_id = %s AND state = 'ASKING'",
        (tx.now, payment.payment_id),
    )
    return bool(changed)


async def ask_at(tx: Transaction, payment_id: UUID, moment: datetime | None) -> None:
    """Ask the PG about a payment at `moment`, or (None) not any more; what rests needs no asking."""
    await tx.write(
        "UPDATE payments SET ask_due_at = %s WHERE payment_id = %s AND method = 'card'"
        " AND state IN ('ASKING', 'HELD', 'RELEASING')",
        (moment, payment_id),
    )


def _payment(row: tuple[Any, ...]) -> Payment:
    return Payment(
        payment_id=UUID(row[0]),
        order_id=UUID(row[1]),
        attempt=row[2],
        state=State(row[3]),
        user_id=row[4],
        method=row[5],
        amount=row[6],
        reason=row[7],
        details=msgspec.json.decode(row[8], type=dict),
        card_key=row[9],
        asks=row[10],
        asked_at=row[11],
        created_at=row[12],
    )
