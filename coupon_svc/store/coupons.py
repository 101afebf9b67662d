"""Coupons in users' hands: read, locked, used, given back and handed out, many at once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from coupon_svc.contracts import CouponKind, CouponUse
from coupon_svc.domain import Coupon
from shared.database import Query, Reader, Row, Select, Transaction, each


class Held(Row):
    """A coupon in somebody's hands: of which policy, and the order that uses it."""

    id: int
    user_id: int
    policy_id: int
    used_by: UUID | None


class Terms(Row):
    """What a policy says of its coupons. It never changes, and so needs no lock."""

    id: int
    kind: CouponKind
    value: int
    floor_price: int
    valid_from: datetime
    valid_until: datetime


class InUse(Row):
    """A coupon that an order uses."""

    user_coupon_id: int


class Count(Row):
    """How many coupons of a policy a user has had."""

    user_id: int
    coupons: int


# On a small table the optimizer may walk another index, and then lock in that one's order.
HELD = Select(Held, "FROM user_coupons FORCE INDEX (PRIMARY) WHERE id IN %s ORDER BY id")
LOCKED = HELD + "FOR UPDATE"
# From the coupons to their policy: left to itself the optimizer may go through all coupons of a policy.
TERMS = Select(
    Terms,
    "FROM user_coupons u FORCE INDEX (PRIMARY) STRAIGHT_JOIN coupon_policies p ON p.id = u.policy_id"
    " WHERE u.id IN %s GROUP BY p.id",
    of="p",
)
UNUSED = Select(Held, "FROM user_coupons WHERE user_id = %s AND used_by IS NULL")
VALID = Select(
    Terms,
    "FROM coupon_policies p WHERE p.valid_from <= %s AND p.valid_until > %s AND p.id IN"
    " (SELECT policy_id FROM user_coupons WHERE user_id = %s AND used_by IS NULL)",
    of="p",
)
IN_USE = Select(InUse, "FROM coupon_uses WHERE order_id IN %s AND released_at IS NULL")
USES = Select(
    CouponUse,
    "FROM coupon_uses s JOIN user_coupons u ON u.id = s.user_coupon_id"
    " WHERE u.policy_id = %s AND s.id < %s ORDER BY s.id DESC LIMIT %s",
    of="s",
    made={"user_id": "u.user_id"},
)
COUNTS = Select(
    Count,
    "FROM user_coupons WHERE policy_id = %s AND user_id IN %s GROUP BY user_id",
    made={"coupons": "COUNT(*)"},
)


async def read_coupons(db: Reader, user_coupon_ids: Collection[int]) -> dict[int, Coupon]:
    """Those of some coupons that exist, with their terms."""
    return with_terms(*await db.ask(HELD.among(user_coupon_ids), terms_of(user_coupon_ids)))


def locked_coupons(user_coupon_ids: Collection[int]) -> Query[list[Held]]:
    """Those of some coupons that exist, locked in the order of their ids against deadlocks."""
    return LOCKED.among(user_coupon_ids)


def terms_of(user_coupon_ids: Collection[int]) -> Query[dict[int, Terms]]:
    """The terms of some coupons, by policy."""
    return TERMS.among(user_coupon_ids).then(_by_policy)


def with_terms(held: Iterable[Held], terms: Mapping[int, Terms]) -> dict[int, Coupon]:
    """Coupons together with their terms, by id; those of whose policy there are none are left out."""
    return {
        one.id: Coupon(
            id=one.id,
            user_id=one.user_id,
            kind=of.kind,
            value=of.value,
            floor_price=of.floor_price,
            valid_from=of.valid_from,
            valid_until=of.valid_until,
            used_by=one.used_by,
        )
        for one in held
        if (of := terms.get(one.policy_id)) is not None
    }


async def usable_by(db: Reader, user_id: int) -> dict[int, Coupon]:
    """The coupons that a user could use now."""
    held, terms = await db.ask(UNUSED.of(user_id), VALID.of(db.now, db.now, user_id).then(_by_policy))
    return with_terms(held, terms)


async def use_coupons(tx: Transaction, by_order: Mapping[UUID, Sequence[int]]) -> None:
    """Mark locked, unused coupons as used by their orders, and keep the history of it.

    Whoever calls has seen under their locks that they are unused, so there is no answer to wait for.
    """
    uses = sorted((one, order_id) for order_id, ids in by_order.items() for one in ids)
    for order_id, ids in each(dict(uses)):
        await tx.write(
            "UPDATE user_coupons SET used_by = %s, used_at = %s WHERE id IN %s AND used_by IS NULL",
            [order_id, tx.now, ids],
        )
    await tx.write_many(
        "INSERT INTO coupon_uses (order_id, user_coupon_id, used_at) VALUES (%s, %s, %s)",
        [(order_id, one, tx.now) for one, order_id in uses],
    )


async def give_back(tx: Transaction, order_ids: Collection[UUID]) -> None:
    """Coupons that these orders use are unused again. The orders' claims must be locked."""
    [in_use] = await tx.ask(IN_USE.among(order_ids))
    if not in_use:
        return
    orders = sorted(order_ids)
    held = sorted(one.user_coupon_id for one in in_use)
    await tx.ask(locked_coupons(held))
    await tx.write(
        "UPDATE user_coupons SET used_by = NULL, used_at = NULL WHERE id IN %s AND used_by IN %s",
        [held, orders],
    )
    await tx.write(
        "UPDATE coupon_uses SET released_at = %s WHERE order_id IN %s AND released_at IS NULL",
        [tx.now, orders],
    )


async def counts(tx: Transaction, policy_id: int, user_ids: Collection[int]) -> dict[int, int]:
    """How many coupons of a policy, which must be locked, each of these users has had."""
    found = await tx.find(COUNTS, policy_id, sorted(set(user_ids)))
    return {one.user_id: one.coupons for one in found}


async def hand_out(tx: Transaction, policy_id: int, request_id: UUID, user_ids: Sequence[int]) -> None:
    """Give each of these users a coupon of a policy that is locked. The table refuses more than there are."""
    await tx.write(
        "UPDATE coupon_policies SET issued = issued + %s WHERE id = %s", [len(user_ids), policy_id]
    )
    await tx.write_many(
        "INSERT INTO user_coupons (user_id, policy_id, request_id, issued_at) VALUES (%s, %s, %s, %s)",
        [(user_id, policy_id, request_id, tx.now) for user_id in user_ids],
    )


async def uses_of(db: Reader, policy_id: int, before: int | None, most: int) -> list[CouponUse]:
    """Who used a policy's coupons for what, newest first."""
    return await db.find(USES, policy_id, 2**63 - 1 if before is None else before, most)


def _by_policy(terms: list[Terms]) -> dict[int, Terms]:
    return {one.id: one for one in terms}
