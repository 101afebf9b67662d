from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="CouponClaim",
            fields=[
                ("order_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("state", fields.CharField(description="HELD, REJECTED or RELEASED", max_length=10)),
                ("reason", fields.CharField(null=True, max_length=40)),
                (
                    "details",
                    fields.TextField(
                        null=True, description="JSON for people: what stood against the order", unique=False
                    ),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "coupon_claims",
                "app": "coupon",
                "pk_attr": "order_id",
                "table_description": "What coupon answered an order, and whether it holds coupons. Never purged: repeats may come late.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="CouponPolicy",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "request_id",
                    fields.CharField(
                        null=True, unique=True, description="The call that made this policy", max_length=36
                    ),
                ),
                ("name", fields.CharField(max_length=100)),
                ("kind", fields.CharField(description="fixed or percentage", max_length=10)),
                ("value", fields.BigIntField(description="Won taken off, or percent")),
                ("valid_from", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("valid_until", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "quantity",
                    fields.BigIntField(
                        null=True, description="How many there are in all; NULL: no end of them"
                    ),
                ),
                ("per_user_limit", fields.IntField(null=True)),
                (
                    "floor_price",
                    fields.BigIntField(
                        default=0, description="No price may fall below this with such a coupon"
                    ),
                ),
                ("issued", fields.BigIntField(default=0)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "coupon_policies",
                "app": "coupon",
                "pk_attr": "id",
                "table_description": "A kind of coupon and its terms. Terms never change; `issued` counts the coupons that are out.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="CouponUse",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("order_id", fields.CharField(max_length=36)),
                ("user_coupon_id", fields.BigIntField()),
                ("used_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("released_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "coupon_uses",
                "app": "coupon",
                "unique_together": (("order_id", "user_coupon_id"),),
                "indexes": [Index(fields=["user_coupon_id", "id"])],
                "pk_attr": "id",
                "table_description": "A coupon's use by an order, kept after it was given back: the usage history, and what a claim holds.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="UserCoupon",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("policy_id", fields.BigIntField()),
                (
                    "request_id",
                    fields.CharField(null=True, description="The call that handed it out", max_length=36),
                ),
                ("used_by", fields.CharField(null=True, max_length=36)),
                ("used_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("issued_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "user_coupons",
                "app": "coupon",
                "unique_together": (("request_id", "user_id"),),
                "indexes": [Index(fields=["user_id", "id"]), Index(fields=["policy_id", "user_id"])],
                "pk_attr": "id",
                "table_description": "One coupon in a user's hands; `used_by` is the one order that uses it, or NULL.",
            },
            bases=["Model"],
        ),
    ]
