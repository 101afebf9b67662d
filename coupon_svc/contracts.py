"""What the coupon service publishes and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared.messages import Audited, Call, Event, KeptOf

Number = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
CouponKind = Literal["fixed", "percentage"]
Amount = Annotated[int, Meta(ge=1, le=10**12)]
Percent = Annotated[int, Meta(ge=5, le=95)]
FloorPrice = Annotated[int, Meta(ge=0, le=10**12)]
Moment = Annotated[datetime, Meta(tz=True)]
Limit = Annotated[int, Meta(ge=1, le=200)]


class CouponPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A kind of coupon: what it takes off and on which terms. What is absent does not apply to it.

    `quantity` is how many there are in all, `issued` how many are out, `per_user_limit` how many one user may
    have.
    """

    id: int
    name: str
    kind: CouponKind
    valid_from: datetime
    valid_until: datetime
    issued: int
    discount_amount: int | None = None
    discount_percent: int | None = None
    quantity: int | None = None
    per_user_limit: int | None = None
    floor_price: int | None = None


class PolicyPage(Struct, frozen=True, kw_only=True):
    """A page of policies by rising id; `next` is the `after` of the page that follows, or null."""

    items: list[CouponPolicy]
    next: int | None = None


class PolicyCreated(Struct, frozen=True, kw_only=True):
    """The id that a new policy was given."""

    id: int


class HeldCoupon(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A coupon in a user's hands; `coupon_id` is its policy, and `order_id` what it was used for."""

    id: int
    coupon_id: int
    name: str
    kind: CouponKind
    valid_until: datetime
    used: bool
    discount_amount: int | None = None
    discount_percent: int | None = None
    order_id: UUID | None = None
    used_at: datetime | None = None


class HeldPage(Struct, frozen=True, kw_only=True):
    """A page of held coupons by rising id, used ones included; `next` continues after its last one."""

    items: list[HeldCoupon]
    next: int | None = None


class GrantedCoupon(Struct, frozen=True, kw_only=True):
    """A coupon that was granted, and to whom."""

    id: int
    user_id: int


class Granted(Struct, frozen=True, kw_only=True):
    """What a grant gave, in the order of its `user_ids`."""

    coupon_id: int
    granted: list[GrantedCoupon]


class CouponUse(Struct, frozen=True, kw_only=True):
    """A coupon's use by an order; `released_at` says when the order gave it back, if it did."""

    id: int
    user_coupon_id: int
    user_id: int
    order_id: UUID
    used_at: datetime
    released_at: datetime | None


class CouponUsePage(Struct, frozen=True, kw_only=True):
    """A page of uses, newest first; `next` continues after its last one."""

    items: list[CouponUse]
    next: int | None = None


class QuoteLine(Struct, frozen=True, kw_only=True):
    """A line to be priced; without `unit_price` at the price that coupon knows."""

    item_id: Number
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]
    user_coupon_ids: Annotated[list[Number], Meta(max_length=100)] = []
    unit_price: Annotated[int, Meta(ge=0, le=10**12)] | None = None


class QuotedLine(Struct, frozen=True, kw_only=True):
    """A line with its prices, as an order takes it."""

    item_id: int
    quantity: int
    unit_price: int
    discounted_price: int
    user_coupon_ids: list[int]


class Quoted(Struct, frozen=True, kw_only=True):
    """The lines asked for, in their order; or none, and the items whose price coupon does not know."""

    lines: list[QuotedLine] = []
    unknown: list[int] = []


class PricesReread(Struct, frozen=True, kw_only=True):
    """What a full reading of the catalogue found: items on sale, and how many of the known ones are gone."""

    items: int
    gone: int


class AppliedAmount(Struct, frozen=True, kw_only=True):
    """What one piece of an item costs with some coupons."""

    item_id: int
    price: int
    discounted_price: int


class CouponAudited(Audited, name="coupon.audited", subject="target"):
    """Somebody of the shop did something to a coupon policy, or coupons of one."""


class CouponsApplied(Event, name="coupon.applied", subject="order_id"):
    """Every coupon of the order was good and is now used by it."""

    order_id: UUID


class CouponsRejected(Event, name="coupon.rejected", subject="order_id"):
    """No coupon was used for the order; `reason` is coupon_invalid, discount_mismatch or released."""

    order_id: UUID
    reason: str
    details: dict[str, Any]


class CouponsReleased(Event, name="coupon.released", subject="order_id"):
    """The coupons that the order used are unused again; also said when there were none."""

    order_id: UUID


class CreatePolicy(Call[PolicyCreated], name="coupon.create_policy", idempotent=True):
    """Make a coupon policy. Idempotent by `request_id`.

    `RuleBroken` when the discount does not fit the kind or the window ends before it begins.
    """

    request_id: UUID
    name: Name
    kind: CouponKind
    valid_from: Moment
    valid_until: Moment
    discount_amount: Amount | None = None
    discount_percent: Percent | None = None
    quantity: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    per_user_limit: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    floor_price: FloorPrice | None = None
    by: int = 0


class ListPolicies(Call[PolicyPage], name="coupon.list_policies", idempotent=True):
    """A page of all policies."""

    limit: Limit = 50
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class IssueCoupon(Call[HeldCoupon], name="coupon.issue", idempotent=True):
    """Take one coupon of a policy for oneself, first come first served. Idempotent by `request_id`.

    `NotFound`; `Conflict` when all are gone or the user's limit is reached; `RuleBroken` outside its window.
    """

    request_id: UUID
    policy_id: Number
    user_id: Number


class GrantCoupons(Call[Granted], name="coupon.grant", idempotent=True):
    """Give one coupon of a policy to each of some users: to all of them or to none.

    Idempotent by `request_id`. `NotFound`; `Conflict` when too few are left or a user's limit is reached;
    `RuleBroken` when the policy has ended, a user is named twice, or some (which are named) do not exist.
    """

    request_id: UUID
    policy_id: Number
    user_ids: Annotated[list[Number], Meta(min_length=1, max_length=1000)]
    by: int = 0


class ListHeld(Call[HeldPage], name="coupon.held", idempotent=True):
    """A page of the coupons that a user holds."""

    user_id: Number
    limit: Limit = 50
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class ListUses(Call[CouponUsePage], name="coupon.uses", idempotent=True):
    """A page of all uses of a policy's coupons; `NotFound` for a policy that is not."""

    policy_id: Number
    limit: Limit = 50
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class GetAppliedAmount(Call[AppliedAmount], name="coupon.applied_amount", idempotent=True):
    """Today's price of one piece with a buyer's coupons, exactly as an order would have it judged.

    `NotFound` for an unknown item, or a coupon that is not the buyer's; `RuleBroken` for coupons that cannot
    be used, or not together. An item that coupon has not heard of yet is asked of the item service.
    """

    item_id: Number
    user_coupon_ids: Annotated[list[Number], Meta(max_length=100)]
    buyer_id: Number


class GetQuote(Call[Quoted], name="coupon.quote", idempotent=True):
    """What lines cost a buyer with the coupons named in them or, with `best_coupons`, with the best at hand.

    The best are the cheapest way to use them, or where that would take too long to find, a way close to it.

    `NotFound` for a coupon that is not the buyer's; `RuleBroken` for coupons that cannot be used, or not so.
    `errors` name the line.
    """

    buyer_id: Number
    lines: Annotated[list[QuoteLine], Meta(min_length=1, max_length=2000)]
    best_coupons: bool = False


class RereadPrices(Call[PricesReread], name="coupon.reread_prices", idempotent=True):
    """Compare the copy of all item prices with the catalogue, and mend it."""


class ExportUser(Call[KeptOf], name="coupon.export_user", idempotent=True):
    """What this service keeps of a user, for the user."""

    user_id: int
