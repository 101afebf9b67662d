"""The shop's tables as this process reads them, each with the columns that are shown."""

from tortoise import fields
from tortoise.models import Model


class Item(Model):
    """An item of the catalogue."""

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=100)
    size = fields.CharField(max_length=100)
    price = fields.BigIntField()
    stock = fields.BigIntField()
    version = fields.IntField()
    retired = fields.BigIntField()

    class Meta:
        table = "items"
        app = "items"


class Order(Model):
    """An order."""

    id = fields.CharField(max_length=36, primary_key=True)
    buyer_id = fields.BigIntField()
    status = fields.CharField(max_length=10)
    reason = fields.CharField(max_length=40, null=True)
    settled = fields.BooleanField()
    paid = fields.BooleanField()
    pay_with = fields.CharField(max_length=10, null=True)
    total = fields.BigIntField()
    lines = fields.JSONField()
    version = fields.IntField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "orders"
        app = "orders"


class Participant(Model):
    """Where one participant of an order stands."""

    id = fields.BigIntField(primary_key=True)
    order_id = fields.CharField(max_length=36)
    name = fields.CharField(max_length=10)
    state = fields.CharField(max_length=10)
    changed_at = fields.DatetimeField()

    class Meta:
        table = "participants"
        app = "orders"


class OrderHistory(Model):
    """A change in an order's life."""

    id = fields.BigIntField(primary_key=True)
    order_id = fields.CharField(max_length=36)
    at = fields.DatetimeField()
    what = fields.CharField(max_length=40)
    participant = fields.CharField(max_length=10, null=True)
    status = fields.CharField(max_length=10)

    class Meta:
        table = "order_history"
        app = "orders"
