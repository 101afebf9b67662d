"""The tables of the coupon service."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


class CouponPolicy(Model):
    """A kind of coupon and its terms. Terms never change; `issued` counts the coupons that are out.

    A check in the table refuses more than `quantity`.
    """

    id = fields.BigIntField(primary_key=True)
    request_id = fields.CharField(
        max_length=36, null=True, unique=True, description="The call that made this policy"
    )
    name = fields.CharField(max_length=100)
    kind = fields.CharField(max_length=10, description="fixed or percentage")
    value = fields.BigIntField(description="Won taken off, or percent")
    valid_from = fields.DatetimeField()
    valid_until = fields.DatetimeField()
    quantity = fields.BigIntField(null=True, description="How many there are in all; NULL: no end of them")
    per_user_limit = fields.IntField(null=True)
    floor_price = fields.BigIntField(default=0, description="No price may fall below this with such a coupon")
    issued = fields.BigIntField(default=0)
    created_at = fields.DatetimeField()

    class Meta:
        table = "coupon_policies"


class UserCoupon(Model):
    """One coupon in a user's hands; `used_by` is the one order that uses it, or NULL."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.BigIntField()
    policy_id = fields.BigIntField()
    request_id = fields.CharField(max_length=36, null=True, description="The call that handed it out")
    used_by = fields.CharField(max_length=36, null=True)
    used_at = fields.DatetimeField(null=True)
    issued_at = fields.DatetimeField()

    class Meta:
        table = "user_coupons"
        unique_together = (("request_id", "user_id"),)
        indexes = (
            Index(fields=("user_id", "id")),
            Index(fields=("policy_id", "user_id")),
        )


class CouponUse(Model):
    """A coupon's use by an order, kept after it was given back: the usage history, and what a claim holds."""

    id = fields.BigIntField(primary_key=True)
    order_id = fields.CharField(max_length=36)
    user_coupon_id = fields.BigIntField()
    used_at = fields.DatetimeField()
    released_at = fields.DatetimeField(null=True)

    class Meta:
        table = "coupon_uses"
        unique_together = (("order_id", "user_coupon_id"),)
        indexes = (Index(fields=("user_coupon_id", "id")),)


class CouponClaim(Model):
    """What coupon answered an order, and whether it holds coupons. Never purged: repeats may come late."""

    order_id = fields.CharField(max_length=36, primary_key=True)
    state = fields.CharField(max_length=10, description="HELD, REJECTED or RELEASED")
    reason = fields.CharField(max_length=40, null=True)
    details = fields.TextField(null=True, description="JSON for people: what stood against the order")
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "coupon_claims"


class ItemPrice(Model):
    """What coupon knows of an item: its price at some version. A deleted one stays, and stays deleted."""

    item_id = fields.BigIntField(primary_key=True, generated=False)
    price = fields.BigIntField()
    version = fields.IntField()
    deleted = fields.BooleanField(default=False)

    class Meta:
        table = "item_prices"


class PriceReading(Model):
    """A full reading of the catalogue's prices that came to its end."""

    id = fields.BigIntField(primary_key=True)
    read_at = fields.DatetimeField()
    items = fields.BigIntField(description="How many were on sale")
    gone = fields.BigIntField(description="How many were known here and are not on sale any more")

    class Meta:
        table = "price_readings"
