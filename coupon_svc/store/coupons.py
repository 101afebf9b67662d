"""Coupons in users' hands: read, locked, used and given back for a whole list of orders at once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from coupon_svc.domain import Coupon
from shared.database.transaction import Query, Reader, Transaction, among

CASES_PER_UPDATE = 500
"""The database walks through a CASE for every row, so one of thousands of coupons would cost its square."""


class Held(NamedTuple):
    """A coupon in somebody's hands: of which policy, and the order that uses it."""

    id: int
    user_id: int
    policy_id: int
    used_by: UUID | None


class Terms(NamedTuple):
    """What a policy says of its coupons. It never changes, and so needs no lock."""

    kind: str
    value: int
    floor_price: int
    valid_from: datetime
    valid_until: datetime


async def read_coupons(db: Reader, user_coupon_ids: Collection[int]) -> dict[int, Coupon]:
    """Those of some coupons that exist, with their terms."""
    return with_terms(*await db.ask(_held(user_coupon_ids, ""), terms_of(user_coupon_ids)))


def locked_coupons(user_coupon_ids: Collection[int]) -> Query[list[Held]]:
    """Those of some coupons that exist, locked in the order of their ids against deadlocks."""
    return _held(user_coupon_ids, "FOR UPDATE")


def terms_of(user_coupon_ids: Collection[int]) -> Query[dict[int, Terms]]:
    """The terms of some coupons, by policy."""
    # From the coupons to their policy: left to itself the optimizer may go through all coupons of a policy.
    sql = (
        "SELECT DISTINCT p.id, p.kind, p.value, p.floor_price, p.valid_from, p.valid_until"
        " FROM user_coupons u FORCE INDEX (PRIMARY) STRAIGHT_JOIN coupon_policies p ON p.id = u.policy_id"
        " WHERE u.id IN %s"
    )
    return among(
        sql,
        user_coupon_ids,
        lambda rows: {policy_id: Terms(*terms) for policy_id, *terms in rows},
    )


def with_terms(held: Iterable[Held], terms: Mapping[int, Terms]) -> dict[int, Coupon]:
    """Coupons together with their terms, by id."""
    return {one.id: Coupon(one.id, one.user_id, *terms[one.policy_id], one.used_by) for one in held}


async def usable_by(db: Reader, user_id: int) -> dict[int, Coupon]:
    """The coupons that a user could use now."""
    rows = await db.rows(
        "SELECT u.id, u.user_id, p.kind, p.value, p.floor_price, p.valid_from, p.valid_until"
        " FROM user_coupons u JOIN coupon_policies p ON p.id = u.policy_id"
        " WHERE u.user_id = %s AND u.used_by IS NULL AND p.valid_from <= %s AND p.valid_until > %s",
        [user_id, db.now, db.now],
    )
    return {row[0]: Coupon(*row) for row in rows}


async def use_coupons(tx: Transaction, by_order: Mapping[UUID, Sequence[int]]) -> None:
    """Mark locked, unused coupons as used by their orders, and keep the history of it.

    Whoever calls has seen under their locks that they are unused, so there is no answer to wait for.
    """
    uses = sorted((one, order_id) for order_id, ids in by_order.items() for one in ids)
    for start in range(0, len(uses), CASES_PER_UPDATE):
        part = uses[start : start + CASES_PER_UPDATE]
        cases = " ".join(["WHEN %s THEN %s"] * len(part))
        await tx.write(
            f"UPDATE user_coupons SET used_by = CASE id {cases} END, used_at = %s"  # noqa: S608  placeholders
            " WHERE id IN %s AND used_by IS NULL",
            [value for use in part for value in use] + [tx.now, [one for one, _ in part]],
        )
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
    await tx.ask(locked_coupons(held))
    await tx.write(
        "UPDATE user_coupons SET used_by = NULL, used_at = NULL WHERE id IN %s AND used_by IN %s",
        [held, orders],
    )
    await tx.write(
        "UPDATE coupon_uses SET released_at = %s WHERE order_id IN %s AND released_at IS NULL",
        [tx.now, orders],
    )


def _held(user_coupon_ids: Collection[int], locking: str) -> Query[list[Held]]:
    # On a small table the optimizer may walk another index, and then lock in that one's order.
    sql = (
        "SELECT id, user_id, policy_id, used_by FROM user_coupons FORCE INDEX (PRIMARY)"  # noqa: S608
        f" WHERE id IN %s ORDER BY id {locking}"
    )
    return among(
        sql,
        user_coupon_ids,
        lambda rows: [Held(*row, used_by=UUID(used_by) if used_by else None) for *row, used_by in rows],
    )
