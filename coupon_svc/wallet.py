"""Coupons in users' hands: read, locked, used and given back for a whole list of orders at once."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from coupon_svc.domain import Coupon
from shared.clock import aware
from shared.transaction import Reader, Transaction

CASES_PER_UPDATE = 500
"""The database walks through a CASE for every row, so one of thousands of coupons would cost its square."""


async def read_coupons(db: Reader, user_coupon_ids: Collection[int]) -> dict[int, Coupon]:
    """Those of some coupons that exist, with their terms."""
    return await _coupons(db, user_coupon_ids, "")


async def lock_coupons(tx: Transaction, user_coupon_ids: Collection[int]) -> dict[int, Coupon]:
    """The same, locked in the order of their ids against deadlocks. Terms never change and need no lock."""
    return await _coupons(tx, user_coupon_ids, "FOR UPDATE")


async def usable_by(db: Reader, user_id: int) -> dict[int, Coupon]:
    """The coupons that a user could use now."""
    rows = await db.rows(
        "SELECT u.id, u.user_id, p.kind, p.value, p.floor_price, p.valid_from, p.valid_until"
        " FROM user_coupons u JOIN coupon_policies p ON p.id = u.policy_id"
        " WHERE u.user_id = %s AND u.used_by IS NULL AND p.valid_from <= %s AND p.valid_until > %s",
        [user_id, db.now, db.now],
    )
    return {row[0]: Coupon(*row[:5], valid_from=aware(row[5]), valid_until=aware(row[6])) for row in rows}


async def use_coupons(tx: Transaction, by_order: Mapping[UUID, Sequence[int]]) -> None:
    """Mark locked, unused coupons as used by their orders, and keep the history of it."""
    uses = sorted((one, order_id) for order_id, ids in by_order.items() for one in ids)
    for start in range(0, len(uses), CASES_PER_UPDATE):
        part = uses[start : start + CASES_PER_UPDATE]
        cases = " ".join(["WHEN %s THEN %s"] * len(part))
        changed = await tx.execute(
            f"UPDATE user_coupons SET used_by = CASE id {cases} END, used_at = %s"  # noqa: S608  placeholders
            " WHERE id IN %s AND used_by IS NULL",
            [value for use in part for value in use] + [tx.now, [one for one, _ in part]],
        )
        if changed != len(part):
            raise RuntimeError(f"{len(part) - changed} coupons were used already although they were locked")
    await tx.write_many(
        "INSERT INTO coupon_uses (order_id, user_coupon_id, used_at) VALUES (%s, %s, %s)",
        [(order_id, one, tx.now) for one, order_id in uses],
    )


async def give_back(tx: Transaction, order_ids: Collection[UUID]) -> None:
    """Coupons that these orders use are unused again. The orders' claims must be locked."""
    if not order_ids:
        return
    orders = sorted(order_ids)
    rows = await tx.rows(
        "SELECT user_coupon_id FROM coupon_uses WHERE order_id IN %s AND released_at IS NULL", [orders]
    )
    if not rows:
        return
    held = sorted(int(row[0]) for row in rows)
    await lock_coupons(tx, held)
    await tx.write(
        "UPDATE user_coupons SET used_by = NULL, used_at = NULL WHERE id IN %s AND used_by IN %s",
        [held, orders],
    )
    await tx.write(
        "UPDATE coupon_uses SET released_at = %s WHERE order_id IN %s AND released_at IS NULL",
        [tx.now, orders],
    )


async def _coupons(db: Reader, user_coupon_ids: Collection[int], locking: str) -> dict[int, Coupon]:
    if not user_coupon_ids:
        return {}
    # On a small table the optimizer may walk another index, and then lock in that one's order.
    rows = await db.rows(
        "SELECT id, user_id, policy_id, used_by FROM user_coupons FORCE INDEX (PRIMARY)"  # noqa: S608
        " WHERE id IN %s ORDER BY id " + locking,
        [sorted(user_coupon_ids)],
    )
    if not rows:
        return {}
    terms = {
        policy_id: (kind, value, floor_price, aware(valid_from), aware(valid_until))
        for policy_id, kind, value, floor_price, valid_from, valid_until in await db.rows(
            "SELECT id, kind, value, floor_price, valid_from, valid_until"
            " FROM coupon_policies WHERE id IN %s",
            [sorted({row[2] for row in rows})],
        )
    }
    return {
        coupon_id: Coupon(coupon_id, user_id, *terms[policy_id], UUID(used_by) if used_by else None)
        for coupon_id, user_id, policy_id, used_by in rows
    }
