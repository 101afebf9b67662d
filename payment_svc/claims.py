"""The claim rows: what was said to which order. They are what makes every repetition harmless."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from payment_svc.domain import Claim
from shared.database import Transaction


async def lock_claims(tx: Transaction, order_ids: Iterable[UUID]) -> dict[UUID, Claim]:
    """The claims of those of these orders that have one, held until the commit."""
    wanted = sorted(set(order_ids))
    if not wanted:
        return {}
    rows = await tx.rows(
        "SELECT order_id, payment_id, state, user_id, method, amount, reason, details FROM claims"
        " WHERE order_id IN %s ORDER BY order_id FOR UPDATE",
        (wanted,),
    )
    claims = [
        Claim(
            order_id=UUID(order_id),
            payment_id=UUID(payment_id),
            state=state,
            user_id=user_id,
            method=method,
            amount=amount,
            reason=reason,
            details=msgspec.json.decode(details, type=dict),
        )
        for order_id, payment_id, state, user_id, method, amount, reason, details in rows
    ]
    return {claim.order_id: claim for claim in claims}


async def add_claims(tx: Transaction, claims: Sequence[Claim]) -> None:
    """Write new claims down. A twin that was faster shows as a duplicate key: the whole unit runs again."""
    await tx.execute_many(
        "INSERT INTO claims (order_id, payment_id, state, user_id, method, amount, reason, details,"
        " decided_at, released_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                claim.order_id,
                claim.payment_id,
                claim.state,
                claim.user_id,
                claim.method,
                claim.amount,
                claim.reason,
                msgspec.json.encode(claim.details).decode(),
                tx.now,
                tx.now if claim.state == "RELEASED" else None,
            )
            for claim in claims
        ],
    )


async def mark_released(tx: Transaction, claims: Iterable[Claim]) -> None:
    """These claims, which are held by the transaction, hold nothing any more."""
    order_ids = sorted(claim.order_id for claim in claims if claim.state != "RELEASED")
    if order_ids:
        await tx.execute(
            "UPDATE claims SET state = 'RELEASED', released_at = %s WHERE order_id IN %s", (tx.now, order_ids)
        )
