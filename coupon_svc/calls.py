"""The calls that coupon answers: policies, handing coupons out, and what they take off."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from coupon_svc import contracts, models
from coupon_svc.domain import (
    Coupon,
    Refusal,
    Stock,
    check_begun,
    check_issue,
    check_terms,
    explain,
    price_with,
    refusal_of_shape,
    refusal_of_use,
    tidy,
)
from coupon_svc.wallet import read_coupons
from item_svc.contracts import GetItem
from shared.clock import aware
from shared.database import Database, Reader, Transaction
from shared.errors import FieldError, NotFound, Problem, RuleBroken
from shared.rpc import Rpc


async def create_policy(call: contracts.CreatePolicy, tx: Transaction) -> contracts.PolicyCreated:
    """Make a policy, of which nothing is issued yet."""
    value = check_terms(
        call.kind, call.discount_amount, call.discount_percent, call.valid_from, call.valid_until
    )
    row = await tx.row("SELECT id FROM coupon_policies WHERE request_id = %s", [call.request_id])
    if row:
        return contracts.PolicyCreated(id=row[0])
    policy_id = await tx.insert(
        "INSERT INTO coupon_policies (request_id, name, kind, value, valid_from, valid_until,"
        " quantity, per_user_limit, floor_price, issued, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s)",
        [
            call.request_id,
            tidy(call.name, "name"),
            call.kind,
            value,
            call.valid_from,
            call.valid_until,
            call.quantity,
            call.per_user_limit,
            call.floor_price or 0,
            tx.now,
        ],
    )
    return contracts.PolicyCreated(id=policy_id)


async def list_policies(call: contracts.ListPolicies, _db: Reader) -> contracts.PolicyPage:
    """A page of policies, one row more being read to know whether another page follows."""
    rows = await models.CouponPolicy.filter(id__gt=call.after or 0).order_by("id").limit(call.limit + 1)
    page = [_policy(row) for row in rows[: call.limit]]
    return contracts.PolicyPage(items=page, next=page[-1].id if len(rows) > call.limit else None)


async def issue_coupon(call: contracts.IssueCoupon, tx: Transaction) -> contracts.HeldCoupon:
    """Hand one coupon to whoever asks for it, while there are any."""
    policy = await _lock(call.policy_id)
    check_begun(_stock(policy), tx.now)
    [(coupon_id, _)] = await _hand_out(tx, policy, call.request_id, [call.user_id])
    coupon = await models.UserCoupon.get(id=coupon_id)
    return _held(coupon, policy)


async def grant_coupons(call: contracts.GrantCoupons, tx: Transaction) -> contracts.Granted:
    """Hand one coupon to each of some users, or to none of them."""
    policy = await _lock(call.policy_id)
    handed_out = await _hand_out(tx, policy, call.request_id, call.user_ids)
    return contracts.Granted(
        coupon_id=policy.id,
        granted=[contracts.GrantedCoupon(id=coupon_id, user_id=user_id) for coupon_id, user_id in handed_out],
    )


async def list_held(call: contracts.ListHeld, _db: Reader) -> contracts.HeldPage:
    """A page of the coupons in a user's hands."""
    query = models.UserCoupon.filter(user_id=call.user_id, id__gt=call.after or 0)
    rows = await query.order_by("id").limit(call.limit + 1)
    page = rows[: call.limit]
    policies = await models.CouponPolicy.in_bulk({row.policy_id for row in page}, "id")
    return contracts.HeldPage(
        items=[_held(row, policies[row.policy_id]) for row in page],
        next=page[-1].id if len(rows) > call.limit else None,
    )


async def applied_amount(
    call: contracts.GetAppliedAmount, database: Database, rpc: Rpc
) -> contracts.AppliedAmount:
    """Today's price of an item, asked of the item service, after a buyer's coupons."""
    if refusal := refusal_of_shape(call.user_coupon_ids):
        raise _problem(refusal)
    item = await rpc.call(GetItem(id=call.item_id))
    coupons, now = await database.read(lambda db: _with_time(db, call.user_coupon_ids))
    for user_coupon_id in call.user_coupon_ids:
        if refusal := refusal_of_use(user_coupon_id, coupons, call.buyer_id, now):
            raise _problem(refusal)
    price = price_with(item.price, [coupons[user_coupon_id] for user_coupon_id in call.user_coupon_ids])
    if isinstance(price, Refusal):
        raise _problem(price)
    return contracts.AppliedAmount(item_id=item.id, price=item.price, discounted_price=price)


async def _with_time(db: Reader, user_coupon_ids: Sequence[int]) -> tuple[dict[int, Coupon], datetime]:
    return await read_coupons(db, user_coupon_ids), db.now


async def _lock(policy_id: int) -> models.CouponPolicy:
    """A policy, locked: all who want one stand in line here, so that no more go out than there are."""
    policy = await models.CouponPolicy.filter(id=policy_id).select_for_update().get_or_none()
    if policy is None:
        raise NotFound(f"There is no coupon {policy_id}.")
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
    await tx.execute(
        "UPDATE coupon_policies SET issued = issued + %s WHERE id = %s", [len(user_ids), policy.id]
    )
    await tx.execute_many(
        "INSERT INTO user_coupons (user_id, policy_id, request_id, issued_at) VALUES (%s, %s, %s, %s)",
        [(user_id, policy.id, request_id, tx.now) for user_id in user_ids],
    )
    return await _handed_out(tx, request_id, user_ids)


async def _handed_out(tx: Transaction, request_id: UUID, user_ids: Sequence[int]) -> list[tuple[int, int]]:
    rows = await tx.rows("SELECT user_id, id FROM user_coupons WHERE request_id = %s", [request_id])
    ids = dict(rows)
    return [(ids[user_id], user_id) for user_id in user_ids if user_id in ids]


def _problem(refusal: Refusal) -> Problem:
    text = explain(refusal)
    if refusal.why == "unknown":
        return NotFound(text)
    return RuleBroken(text, errors=[FieldError("user_coupon_ids", text)])


def _stock(policy: models.CouponPolicy) -> Stock:
    return Stock(
        policy.name,
        aware(policy.valid_from),
        aware(policy.valid_until),
        policy.quantity,
        policy.issued,
        policy.per_user_limit,
    )


def _policy(policy: models.CouponPolicy) -> contracts.CouponPolicy:
    fixed = policy.kind == "fixed"
    return contracts.CouponPolicy(
        id=policy.id,
        name=policy.name,
        kind=cast(contracts.CouponKind, policy.kind),
        discount_amount=policy.value if fixed else None,
        discount_percent=None if fixed else policy.value,
        valid_from=aware(policy.valid_from),
        valid_until=aware(policy.valid_until),
        issued=policy.issued,
        quantity=policy.quantity,
        per_user_limit=policy.per_user_limit,
        floor_price=policy.floor_price or None,
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
    )
