"""Coupons over HTTP: policies, taking and granting coupons, holding them, and what they make of a price."""

from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from coupon_svc.contracts import (
    Amount,
    AppliedAmount,
    CouponKind,
    CouponUsePage,
    CreatePolicy,
    FloorPrice,
    GetAppliedAmount,
    GrantCoupons,
    Granted,
    HeldCoupon,
    HeldPage,
    IssueCoupon,
    ListHeld,
    ListPolicies,
    ListUses,
    Moment,
    Name,
    Number,
    Percent,
    PolicyCreated,
    PolicyPage,
)
from gateway.door.api import BODY, After, Id, LongPageSize, parse_ids, problems
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import CATALOGUE, OWN
from shared.errors import FieldError, RuleBroken
from shared.ids import new_id

ItemId = Annotated[int, QueryParameter(ge=1, le=2**63 - 1, description="The item to be priced.")]
UserCouponIds = Annotated[
    str | None, QueryParameter(description="Ids of coupons that you hold, comma-separated.")
]


class NewPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """A coupon policy: `fixed` with a `discount_amount`, or `percentage` with a `discount_percent`."""

    name: Name
    kind: CouponKind
    valid_from: Moment
    valid_until: Moment
    discount_amount: Amount | None = None
    discount_percent: Percent | None = None
    quantity: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    per_user_limit: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    floor_price: FloorPrice | None = None


class Grant(Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets one coupon each."""

    user_ids: Annotated[list[Number], Meta(min_length=1, max_length=1000)]


@get("/coupons", operation_id="list_coupons", summary="List coupon policies", responses=problems(400))
async def list_coupons(request: ShopRequest, limit: LongPageSize = 50, after: After = None) -> PolicyPage:
    """The coupons that there are, by rising id."""
    return await request.rpc.call(ListPolicies(limit=limit, after=after))


@post(
    "/coupons",
    operation_id="create_coupon",
    summary="Make a coupon policy",
    opt=CATALOGUE,
    responses=problems(*BODY, 401, 403, 409),
)
async def create_coupon(
    request: ShopRequest, data: JSONBody[NewPolicy], idempotency_key: IdempotencyKey = None
) -> PolicyCreated:
    """Make a coupon policy that users can take coupons of."""
    _refuse_far_times(data)
    call = CreatePolicy(request_id=new_id(), by=request.user.id, **msgspec.structs.asdict(data))
    return await request.rpc.call(call, once=once(request, idempotency_key, data))


def _refuse_far_times(policy: NewPolicy) -> None:
    """Times at the very ends of the calendar cannot be turned to UTC, let alone be stored."""
    times = {"valid_from": policy.valid_from, "valid_until": policy.valid_until}
    far = [field for field, moment in times.items() if not 1970 <= moment.year <= 9998]
    if far:
        errors = [FieldError(field=field, message="Expected a year from 1970 to 9998") for field in far]
        raise RuleBroken("The body has values that are not allowed.", errors=errors)


@post(
    "/coupons/{coupon_id:str}/issue",
    operation_id="take_coupon",
    summary="Take a coupon",
    opt=OWN,
    responses=problems(400, 401, 403, 404, 409, 422),
)
async def take_coupon(
    request: ShopRequest, coupon_id: Id, idempotency_key: IdempotencyKey = None
) -> HeldCoupon:
    """Take one for yourself; where they are limited, first come, first served."""
    call = IssueCoupon(request_id=new_id(), policy_id=coupon_id, user_id=request.user.id)
    return await request.rpc.call(call, once=once(request, idempotency_key, coupon_id))


@post(
    "/coupons/{coupon_id:str}/grants",
    operation_id="grant_coupons",
    summary="Grant coupons",
    opt=CATALOGUE,
    responses=problems(*BODY, 401, 403, 404, 409),
)
async def grant_coupons(
    request: ShopRequest, coupon_id: Id, data: JSONBody[Grant], idempotency_key: IdempotencyKey = None
) -> Granted:
    """Give one coupon to each of some users: to all of them or to none."""
    call = GrantCoupons(request_id=new_id(), policy_id=coupon_id, user_ids=data.user_ids, by=request.user.id)
    return await request.rpc.call(call, once=once(request, idempotency_key, coupon_id, data))


@get(
    "/coupons/{coupon_id:str}/uses",
    operation_id="list_coupon_uses",
    summary="What a policy's coupons were used for",
    opt=CATALOGUE,
    responses=problems(400, 401, 403, 404),
)
async def list_coupon_uses(
    request: ShopRequest, coupon_id: Id, limit: LongPageSize = 50, after: After = None
) -> CouponUsePage:
    """Every use by an order, newest first, given back or not."""
    return await request.rpc.call(ListUses(policy_id=coupon_id, limit=limit, after=after))


@get(
    "/users/me/coupons",
    operation_id="list_my_coupons",
    summary="Your coupons",
    opt=OWN,
    responses=problems(400, 401, 403),
)
async def list_my_coupons(request: ShopRequest, limit: LongPageSize = 50, after: After = None) -> HeldPage:
    """The coupons that you hold, used ones included."""
    return await request.rpc.call(ListHeld(user_id=request.user.id, limit=limit, after=after))


@get(
    "/coupons/applied-amount",
    operation_id="get_applied_amount",
    summary="A price with coupons",
    opt=OWN,
    responses=problems(400, 401, 403, 404, 422),
)
async def get_applied_amount(
    request: ShopRequest, item_id: ItemId, user_coupon_ids: UserCouponIds = None
) -> AppliedAmount:
    """What one piece of an item costs you with some of your coupons, as an order would have it."""
    coupons = parse_ids("user_coupon_ids", user_coupon_ids, most=100) if user_coupon_ids is not None else []
    call = GetAppliedAmount(item_id=item_id, user_coupon_ids=coupons, buyer_id=request.user.id)
    return await request.rpc.call(call)


routes = [
    list_coupons,
    create_coupon,
    take_coupon,
    grant_coupons,
    list_coupon_uses,
    list_my_coupons,
    get_applied_amount,
]
