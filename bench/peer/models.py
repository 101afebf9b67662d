"""The tables as Tortoise models; every service uses those of its own database."""

from tortoise import fields
from tortoise.models import Model


class Order(Model):
    """An order and who has answered it."""

    id = fields.CharField(max_length=36, primary_key=True)
    buyer_id = fields.BigIntField()
    status = fields.CharField(max_length=10)
    total = fields.BigIntField()
    lines = fields.JSONField()
    item_ok = fields.BooleanField(null=True)
    coupon_ok = fields.BooleanField(null=True)

    class Meta:
        table = "orders"


class Item(Model):
    """An item and its stock."""

    id = fields.BigIntField(primary_key=True, generated=False)
    price = fields.BigIntField()
    stock = fields.BigIntField()

    class Meta:
        table = "items"


class UserCoupon(Model):
    """A coupon in somebody's hands."""

    id = fields.BigIntField(primary_key=True, generated=False)
    user_id = fields.BigIntField()
    discount = fields.BigIntField()
    used_by = fields.CharField(max_length=36, null=True)

    class Meta:
        table = "user_coupons"


class Claim(Model):
    """What an order was answered."""

    order_id = fields.CharField(max_length=36, primary_key=True)
    ok = fields.BooleanField()

    class Meta:
        table = "claims"


class OutboxRow(Model):
    """A message that was committed and is not known to be with the broker yet."""

    id = fields.CharField(max_length=36, primary_key=True)
    routing_key = fields.CharField(max_length=60)
    body = fields.TextField()

    class Meta:
        table = "outbox"
