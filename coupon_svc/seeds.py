"""The coupons of a new shop: two policies, and one of each in the hands of both buyers."""

from datetime import UTC, datetime

from tortoise.expressions import F

from coupon_svc.models import CouponPolicy, UserCoupon
from shared.database import Transaction

VALID_FROM = datetime(2020, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)

POLICIES = (
    (1, "3,000 won off", "fixed", 3_000),
    (2, "15 % off", "percentage", 15),
)
"""Id, name, kind and value."""

HELD = ((1, 2, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2))
"""Id, user and policy."""


async def seed(tx: Transaction) -> None:
    """Put in what is missing; coupons that are there stay as orders left them."""
    for policy_id, name, kind, value in POLICIES:
        if not await CouponPolicy.exists(id=policy_id, using_db=tx.models):
            await CouponPolicy.create(
                id=policy_id,
                name=name,
                kind=kind,
                value=value,
                valid_from=VALID_FROM,
                valid_until=VALID_UNTIL,
                created_at=tx.now,
                using_db=tx.models,
            )
    for coupon_id, user_id, policy_id in HELD:
        if not await UserCoupon.exists(id=coupon_id, using_db=tx.models):
            await UserCoupon.create(
                id=coupon_id, user_id=user_id, policy_id=policy_id, issued_at=tx.now, using_db=tx.models
            )
            await CouponPolicy.filter(id=policy_id).using_db(tx.models).update(issued=F("issued") + 1)
