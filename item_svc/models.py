"""The tables of the item service."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


class Item(Model):
    """An item of the catalogue, with what is on its shelf.

    `retired` is 0 while the item is on sale and its own id afterwards, so that its name is free again.
    `stock` is always `initial_stock` plus every change in the stock history but the first; a check
    in the table refuses one below zero.
    """

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=100)
    size = fields.CharField(max_length=100)
    price = fields.BigIntField()
    stock = fields.BigIntField()
    initial_stock = fields.BigIntField()
    version = fields.IntField(default=1)
    retired = fields.BigIntField(default=0)
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "items"
        unique_together = (("name", "size", "retired"),)


class ItemClaim(Model):
    """What item answered an order, and whether it holds stock for it. Never purged: late repeats may come."""

    order_id = fields.CharField(max_length=36, primary_key=True)
    state = fields.CharField(max_length=10, description="HELD, REJECTED or RELEASED")
    reason = fields.CharField(max_length=40, null=True)
    details = fields.TextField(null=True, description="JSON for people: what stood against the order")
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "item_claims"


class StockChange(Model):
    """One change of one item's stock. What a HELD claim holds is the sum of its rows of cause `order`.

    The unique key lets an order take and give back an item once, whatever a program gets wrong.
    """

    id = fields.BigIntField(primary_key=True)
    item_id = fields.BigIntField()
    order_id = fields.CharField(max_length=36, null=True)
    delta = fields.BigIntField()
    balance = fields.BigIntField(description="The stock after this change")
    cause = fields.CharField(max_length=10, description="initial, order, release or adjustment")
    reason = fields.CharField(max_length=200, null=True)
    at = fields.DatetimeField()
    by = fields.BigIntField(null=True, source_field="by_user", description="Who did it by hand")

    class Meta:
        table = "stock_history"
        unique_together = (("order_id", "item_id", "cause"),)
        indexes = (Index(fields=("item_id", "id")),)


class ItemRequest(Model):
    """A change that was asked for and done, so that asking again with the same id does nothing more."""

    id = fields.CharField(max_length=36, primary_key=True)
    item_id = fields.BigIntField()
    done_at = fields.DatetimeField()

    class Meta:
        table = "item_requests"


class CartLine(Model):
    """An item that a user has put aside. There are no empty lines."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.BigIntField()
    item_id = fields.BigIntField()
    quantity = fields.BigIntField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "cart_lines"
        unique_together = (("user_id", "item_id"),)


class CartTaking(Model):
    """What an order took out of its buyer's cart: TAKEN, or RETURNED because the order came to nothing.

    An order that failed before it was seen here gets a RETURNED row as well, so that it takes nothing later.
    """

    order_id = fields.CharField(max_length=36, primary_key=True)
    state = fields.CharField(max_length=10, description="TAKEN or RETURNED")
    user_id = fields.BigIntField(null=True)
    pieces = fields.TextField(null=True, description="JSON: how many of each item, by its id")
    changed_at = fields.DatetimeField()

    class Meta:
        table = "cart_takings"
