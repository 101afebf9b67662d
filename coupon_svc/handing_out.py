"""Coupons on their way into users' hands: taken by a buyer, granted by an admin, listed once held."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from coupon_svc import contracts, models
from coupon_svc.domain import Stock, check_begun, check_issue, check_known, no_policy
from shared.clock import aware
from shared.database.idempotency import Idempotency
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.rpc import Rpc
from user_svc.contracts import FindUsers


async def issue_coupon(call: contracts.IssueCoupon, tx: Transaction) -> contracts.HeldCoupon:
    """Hand one coupon to whoever asks for it, while there are any."""
    policy = await _lock(tx, call.policy_id)
    check_begun(_stock(policy), tx.now)
    [(coupon_id, _)] = await _hand_out(tx, policy, call.request_id, [call.user_id])
    coupon = await models.UserCoupon.get(id=coupon_id, using_db=tx.models)
    return _held(coupon, policy)


async def grant_coupons(
    call: contracts.GrantCoupons, database: Database, rpc: Rpc, idempotency: Idempotency
) -> contracts.Granted:
    """Hand one coupon to each of some users, or to none of them."""
    known = await rpc.call(FindUsers(ids=call.user_ids))
    check_known(call.user_ids, known.ids)

    async def grant(tx: Transaction) -> contracts.Granted:
        await idempotency.begin(tx)
        policy = await _lock(tx, call.policy_id)
        handed_out = await _hand_out(tx, policy, call.request_id, call.user_ids)
        granted = contracts.Granted(
            coupon_id=policy.id,
            granted=[
                contracts.GrantedCoupon(id=coupon_id, user_id=user_id) for coupon_id, user_id in handed_out
            ],
        )
        await idempotency.keep(tx, granted)
        return granted

    return await database.transaction(grant)


async def list_held(call: contracts.ListHeld, db: Reader) -> contracts.HeldPage:
    """A page of the coupons in a user's hands."""
    query = models.UserCoupon.filter(user_id=call.user_id, id__gt=call.after or 0).using_db(db.models)
    rows = await query.order_by("id").limit(call.limit + 1)
    page = rows[: call.limit]
    policies = await models.CouponPolicy.in_bulk({row.policy_id for row in page}, "id", using_db=db.models)
    return contracts.HeldPage(
        items=[_held(row, policies[row.policy_id]) for row in page],
        next=page[-1].id if len(rows) > call.limit else None,
    )


async def _lock(tx: Transaction, policy_id: int) -> models.CouponPolicy:
    """A policy, locked: all who want one stand in line here, so that no more go out than there are."""
    policy = (
        await models.CouponPolicy.filter(id=policy_id).using_db(tx.models).select_for_update().get_or_none()
    )
    if policy is None:
        raise no_policy(policy_id)
    return policy


async def _hand_out(
    tx: Transaction, policy: models.CouponPolicy, request_id: UUID, user_ids: Sequence[int]
) -> list[tuple[int, int]]:
    """Id and user of each coupon that a request gives out, or gave out when it was first made."""
    if before := await _handed_out(tx, request_id, user_ids):
        return before
    held: dict[int, int] = {}
    if policy.per_user_limit is not None:
        held = dict(
            await tx.rows(
                "SELECT user_id, COUNT(*) FROM user_coupons WHERE policy_id = %s AND user_id IN %s"
                " GROUP BY user_id",
                [policy.id, sorted(set(user_ids))],
            )
        )
    check_issue(_stock(policy), held, user_ids, tx.now)
    await tx.write(
        "UPDATE coupon_policies SET issued = issued + %s WHERE id = %s", [len(user_ids), policy.id]
    )
    await tx.write_many(
        "INSERT INTO user_coupons (user_id, policy_id, request_id, issued_at) VALUES (%s, %s, %s, %s)",
        [(user_id, policy.id, request_id, tx.now) for user_id in user_ids],
    )
    return await _handed_out(tx, request_id, user_ids)


async def _handed_out(tx: Transaction, request_id: UUID, user_ids: Sequence[int]) -> list[tuple[int, int]]:
    rows = await tx.rows("SELECT user_id, id FROM user_coupons WHERE request_id = %s", [request_id])
    ids = dict(rows)
    return [(ids[user_id], user_id) for user_id in user_ids if user_id in ids]


def _stock(policy: models.CouponPolicy) -> Stock:
    return Stock(
        policy.name,
        aware(policy.valid_from),
        aware(policy.valid_until),
        policy.quantity,
        policy.issued,
        policy.per_user_limit,
    )


def _held(coupon: models.UserCoupon, policy: models.CouponPolicy) -> contracts.HeldCoupon:
    fixed = policy.kind == "fixed"
    return contracts.HeldCoupon(
        id=coupon.id,
        coupon_id=policy.id,
        name=policy.name,
        kind=cast(contracts.CouponKind, policy.kind),
        discount_amount=policy.value if fixed else None,
        discount_percent=None if fixed else policy.value,
        valid_until=aware(policy.valid_until),
        used=coupon.used_by is not None,
        order_id=UUID(coupon.used_by) if coupon.used_by else None,
        used_at=aware(coupon.used_at) if coupon.used_at else None,
    )
