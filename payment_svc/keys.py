"""Idempotency keys of payers: the same key and wish is the same payment, another wish under it is refused."""

import hashlib
from uuid import UUID

from payment_svc.contracts import Pay
from shared.errors import FieldError, RuleBroken
from shared.transaction import Reader, Transaction


async def find(db: Reader, call: Pay) -> UUID | None:
    """The payment that was made under this key before. Raises `RuleBroken` for another wish."""
    row = await db.row(
        "SELECT wish, payment_id FROM idempotency_keys WHERE user_id = %s AND idempotency_key = %s",
        (call.user_id, _hash(call.idempotency_key)),
    )
    if row is None:
        return None
    if row[0] != _wish(call):
        raise RuleBroken(
            "This idempotency key was used for another payment; use a new key.",
            errors=[FieldError("Idempotency-Key", "Used for another payment")],
        )
    return UUID(row[1])


async def add(tx: Transaction, call: Pay) -> None:
    """Remember the key. A twin that was faster shows as a duplicate, and the unit runs again."""
    await tx.write(
        "INSERT INTO idempotency_keys (user_id, idempotency_key, wish, payment_id, created_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (call.user_id, _hash(call.idempotency_key), _wish(call), call.payment_id, tx.now),
    )


def _wish(call: Pay) -> str:
    return _hash(f"{call.order_id} {call.method} {call.payment_key or ''}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
