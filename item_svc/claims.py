"""Claims: what item answered each order, locked and written for whole lists of orders at once."""

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec

from item_svc.domain import Claim
from shared.database import Transaction


async def lock_claims(tx: Transaction, order_ids: Collection[UUID]) -> dict[UUID, Claim]:
    """The claims of those orders that have one, locked in the order of their ids against deadlocks."""
    if not order_ids:
        return {}
    rows = await tx.rows(
        "SELECT order_id, state, reason, details FROM item_claims"
        " WHERE order_id IN %s ORDER BY order_id FOR UPDATE",
        [sorted(order_ids)],
    )
    return {
        UUID(order_id): Claim(state, reason, msgspec.json.decode(details) if details else None)
        for order_id, state, reason, details in rows
    }


async def add_claims(tx: Transaction, claims: Mapping[UUID, Claim]) -> None:
    """Write claims of orders that had none; a twin that was faster makes the whole unit run again."""
    await tx.write_many(
        "INSERT INTO item_claims (order_id, state, reason, details, created_at, changed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [
            (
                order_id,
                claim.state,
                claim.reason,
                None if claim.details is None else msgspec.json.encode(claim.details).decode(),
                tx.now,
                tx.now,
            )
            for order_id, claim in sorted(claims.items())
        ],
    )


async def mark_released(tx: Transaction, order_ids: Collection[UUID]) -> None:
    """Claims of these orders hold nothing from now on."""
    if order_ids:
        await tx.write(
            "UPDATE item_claims SET state = 'RELEASED', changed_at = %s WHERE order_id IN %s",
            [tx.now, sorted(order_ids)],
        )
