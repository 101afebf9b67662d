"""Coupons on their way into users' hands: taken by a buyer, granted by an admin, listed once held."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from coupon_svc import contracts
from coupon_svc.domain import Stock, check_begun, check_issue, check_known, no_policy
from coupon_svc.kinds import told
from coupon_svc.models import CouponPolicy, UserCoupon
from coupon_svc.store.coupons import counts, hand_out
from shared.database import Database, Idempotency, Reader, Transaction, page
from shared.rpc import Rpc
from user_svc.contracts import FindUsers


async def issue_coupon(call: contracts.IssueCoupon, tx: Transaction) -> contracts.HeldCoupon:
    """Hand one coupon to whoever asks for it, while there are any."""
    policy = await _lock(tx, call.policy_id)
    check_begun(_stock(policy), tx.now)
    [(coupon_id, _)] = await _hand_out(tx, policy, call.request_id, [call.user_id])
    coupon = await UserCoupon.get(id=coupon_id, using_db=tx.models)
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
        again = bool(await _handed_out(tx, call.request_id, call.user_ids))
        handed_out = await _hand_out(tx, policy, call.request_id, call.user_ids)
        if not again:
            tx.emit(
                contracts.CouponAudited(
                    by=call.by,
                    action="grant coupons",
                    target=f"coupon {policy.id}",
                    before=None,
                    after={"user_ids": call.user_ids},
                )
            )
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
    query = UserCoupon.filter(user_id=call.user_id, id__gt=call.after or 0).using_db(db.models).order_by("id")
    coupons, more = await page(call.limit, query.limit, key=lambda coupon: coupon.id)
    policies = await CouponPolicy.in_bulk({one.policy_id for one in coupons}, "id", using_db=db.models)
    return contracts.HeldPage(items=[_held(one, policies[one.policy_id]) for one in coupons], next=more)


async def _lock(tx: Transaction, policy_id: int) -> CouponPolicy:
    """A policy, locked: all who want one stand in line here, so that no more go out than there are."""
    policy = await CouponPolicy.filter(id=policy_id).using_db(tx.models).select_for_update().get_or_none()
    if policy is None:
        raise no_policy(policy_id)
    return policy


async def _hand_out(
    tx: Transaction, policy: CouponPolicy, request_id: UUID, user_ids: Sequence[int]
) -> list[tuple[int, int]]:
    """Id and user of each coupon that a request gives out, or gave out when it was first made."""
    if before := await _handed_out(tx, request_id, user_ids):
        return before
    held: dict[int, int] = {}
    if policy.per_user_limit is not None:
        held = await counts(tx, policy.id, user_ids)
    check_issue(_stock(policy), held, user_ids, tx.now)
    await hand_out(tx, policy.id, request_id, user_ids)
    return await _handed_out(tx, request_id, user_ids)


async def _handed_out(tx: Transaction, request_id: UUID, user_ids: Sequence[int]) -> list[tuple[int, int]]:
    coupons = await UserCoupon.filter(request_id=request_id).using_db(tx.models)
    ids = {coupon.user_id: coupon.id for coupon in coupons}
    return [(ids[user_id], user_id) for user_id in user_ids if user_id in ids]


def _stock(policy: CouponPolicy) -> Stock:
    return Stock(
        policy.name,
        policy.valid_from,
        policy.valid_until,
        policy.quantity,
        policy.issued,
        policy.per_user_limit,
    )


def _held(coupon: UserCoupon, policy: CouponPolicy) -> contracts.HeldCoupon:
    kind = cast(contracts.CouponKind, policy.kind)
    return contracts.HeldCoupon(
        id=coupon.id,
        coupon_id=policy.id,
        name=policy.name,
        kind=kind,
        **told(kind, policy.value),
        valid_until=policy.valid_until,
        used=coupon.used_by is not None,
        order_id=UUID(coupon.used_by) if coupon.used_by else None,
        used_at=coupon.used_at,
    )
