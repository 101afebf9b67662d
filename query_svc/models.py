"""The query service's tables: the event store, and the views that can be made from it again at any time."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


class SagaEvent(Model):
    """An event as it came; rows are only ever added."""

    position = fields.BigIntField(primary_key=True, generated=False)
    message_id = fields.CharField(max_length=255, unique=True)
    saga_id = fields.CharField(max_length=255, description="The order's id, or else the correlation id")
    service = fields.CharField(max_length=100, description="Who said it")
    event_type = fields.CharField(max_length=255)
    event_data = fields.TextField(description="JSON, as it came")
    status = fields.CharField(max_length=11, description="PENDING, COMPLETED, FAILED or COMPENSATED")
    time = fields.DatetimeField(description="When it happened")
    stored_at = fields.DatetimeField()
    subject = fields.CharField(max_length=255)
    sequence = fields.BigIntField(null=True, description="The version of what it is about")
    correlation_id = fields.CharField(max_length=255, null=True)
    causation_id = fields.CharField(max_length=255, null=True)

    class Meta:
        table = "saga_event_log"
        indexes = (Index(fields=("saga_id", "position")), Index(fields=("status", "position")))


class StoreHead(Model):
    """One row. Whoever writes to the store or the views locks it first, so that there is one at a time.

    Thus positions are given in the order of commits: who has read up to one has missed nothing before it.
    """

    id = fields.IntField(primary_key=True, generated=False)
    position = fields.BigIntField(description="The last one given")
    folded = fields.BigIntField(description="Up to where the views contain the events")
    wiping = fields.BooleanField(default=False, description="The views are being emptied for a rebuild")

    class Meta:
        table = "event_store_head"


class OrderView(Model):
    """An order, from its own events alone. Each column is written by one kind of event, so their order of
    arrival does not matter; NULL is what has not been told yet."""

    order_id = fields.UUIDField(primary_key=True)
    buyer_id = fields.BigIntField(null=True)
    total = fields.BigIntField(null=True)
    status = fields.CharField(max_length=10)
    settled = fields.BooleanField()
    reason = fields.CharField(max_length=100, null=True)
    reason_details = fields.TextField(null=True, description="JSON")
    pay_with = fields.CharField(max_length=10, null=True)
    payment_id = fields.UUIDField(null=True)
    participants = fields.TextField(null=True, description="JSON")
    line_count = fields.IntField(null=True)
    lines = fields.TextField(null=True, description="JSON")
    placed_at = fields.DatetimeField(null=True)
    completed_at = fields.DatetimeField(null=True)
    confirmed_at = fields.DatetimeField(null=True)
    failed_at = fields.DatetimeField(null=True)
    settled_at = fields.DatetimeField(null=True, description="When a failed order came to rest")
    cancelled_at = fields.DatetimeField(null=True)
    parts = fields.TextField(null=True, description="JSON: refunds in part of its payments")
    last_event_at = fields.DatetimeField()

    class Meta:
        table = "order_views"
        indexes = (
            Index(fields=("buyer_id", "order_id")),
            Index(fields=("status", "order_id")),
            Index(fields=("settled", "order_id")),
        )


class ItemName(Model):
    """What an item is called: as the catalogue told it last, or else as an order found it."""

    item_id = fields.BigIntField(primary_key=True, generated=False)
    name = fields.CharField(max_length=255)
    version = fields.BigIntField(description="The item's, 0 where an order told the name")
    told_at = fields.DatetimeField()

    class Meta:
        table = "item_names"


class ItemSales(Model):
    """What was sold of an item in a day, week, month and altogether; called-off orders do not count."""

    id = fields.BigIntField(primary_key=True)
    period = fields.CharField(max_length=5, description="day, week, month or all")
    start = fields.DateField(description="Its first day")
    item_id = fields.BigIntField()
    quantity = fields.BigIntField()
    revenue = fields.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        table = "item_sales"
        unique_together = (("period", "start", "item_id"),)


class SalesHour(Model):
    """The orders confirmed in an hour: those that stand, and those called off since.

    Refunds in part made in it have left its revenue, and stand in `refunded`.
    """

    hour = fields.DatetimeField(primary_key=True)
    orders = fields.BigIntField()
    quantity = fields.BigIntField()
    revenue = fields.DecimalField(max_digits=38, decimal_places=0)
    refunded = fields.DecimalField(max_digits=38, decimal_places=0, default=0)
    cancelled_orders = fields.BigIntField()
    cancelled_revenue = fields.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        table = "sales_hours"
