"""Idempotency keys of buyers: the same key and body is the same order, another body under it is refused."""

from collections.abc import Sequence
from typing import NamedTuple, Self
from uuid import UUID

from order_svc.contracts import PlaceOrder
from shared.errors import RuleBroken
from shared.transaction import Transaction


class Used(NamedTuple):
    """What a key was used for."""

    body_hash: str
    order_id: UUID


class Keys:
    """The keys that a list of calls bears, as known before and as added by the list itself."""

    def __init__(self, used: dict[tuple[int, str], Used]) -> None:
        self._used = used
        self._added: dict[tuple[int, str], Used] = {}

    @classmethod
    async def load(cls, tx: Transaction, calls: Sequence[PlaceOrder]) -> Self:
        """What is known of the keys of these calls."""
        wanted = sorted({(call.buyer_id, call.idempotency_key) for call in calls if call.idempotency_key})
        if not wanted:
            return cls({})
        rows = await tx.rows(
            "SELECT buyer_id, idempotency_key, body_hash, order_id FROM idempotency_keys"
            " WHERE (buyer_id, idempotency_key) IN %s",
            [wanted],
        )
        return cls({(row[0], row[1]): Used(row[2], UUID(row[3])) for row in rows})

    def order_of(self, call: PlaceOrder) -> UUID | None:
        """The order that was placed under the call's key before. Raises `RuleBroken` for another body."""
        if not call.idempotency_key:
            return None
        used = self._used.get((call.buyer_id, call.idempotency_key))
        if used is None:
            return None
        if used.body_hash != (call.body_hash or ""):
            raise RuleBroken(
                f"The Idempotency-Key {call.idempotency_key!r} was used for another body; use a new key."
            )
        return used.order_id

    def add(self, call: PlaceOrder) -> None:
        """Remember the call's key for its order."""
        if call.idempotency_key:
            key = (call.buyer_id, call.idempotency_key)
            self._used[key] = self._added[key] = Used(call.body_hash or "", call.order_id)

    async def save(self, tx: Transaction) -> None:
        """Write the added keys. A twin that was faster shows as a duplicate, and the unit runs again."""
        await tx.write_many(
            "INSERT INTO idempotency_keys (buyer_id, idempotency_key, body_hash, order_id, created_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            [
                (buyer_id, key, used.body_hash, used.order_id, tx.now)
                for (buyer_id, key), used in self._added.items()
            ],
        )
