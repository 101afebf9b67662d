"""The order service's tables."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint
from tortoise.models import Model


class Order(Model):
    """An order; its lines are a snapshot that never changes, so they stand as one JSON document."""

    id = fields.UUIDField(primary_key=True)
    buyer_id = fields.BigIntField()
    status = fields.CharField(max_length=10)
    reason = fields.CharField(max_length=40, null=True)
    reason_details = fields.TextField(null=True)
    settled = fields.BooleanField(default=False)
    paid = fields.BooleanField(default=False)
    pay_with = fields.CharField(max_length=10, null=True)
    total = fields.BigIntField()
    lines = fields.TextField()
    version = fields.IntField()
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    deadline_at = fields.DatetimeField(
        null=True,
        description="Until when it waits for answers, or completed for being paid",
    )
    extended_at = fields.DatetimeField(
        null=True, description="When it was given one more deadline for an outage, which happens once"
    )
    item_names = fields.TextField(null=True, description="JSON by item id, from when they were taken")

    class Meta:
        table = "orders"
        indexes = (Index(fields=("buyer_id", "id")), Index(fields=("deadline_at",)))
        constraints = (
            CheckConstraint(
                name="a_pending_order_is_due", check="`status` <> 'PENDING' OR `deadline_at` IS NOT NULL"
            ),
        )


class Participant(Model):
    """Where one participant of an order stands."""

    id = fields.BigIntField(primary_key=True)
    order_id = fields.UUIDField()
    name = fields.CharField(max_length=10)
    state = fields.CharField(max_length=10)
    payment_id = fields.UUIDField(null=True)
    changed_at = fields.DatetimeField()
    release_due_at = fields.DatetimeField(
        null=True, description="When to ask again to give back; null if not asked"
    )
    releases = fields.IntField(default=0, description="How often it was asked to give back")

    class Meta:
        table = "participants"
        unique_together = (("order_id", "name"),)
        indexes = (Index(fields=("release_due_at",)),)
        constraints = (
            CheckConstraint(
                name="a_releasing_participant_is_due",
                check="`state` <> 'RELEASING' OR `release_due_at` IS NOT NULL",
            ),
        )


class OrderHistory(Model):
    """Every change in an order's life, in order."""

    id = fields.BigIntField(primary_key=True)
    order_id = fields.UUIDField()
    at = fields.DatetimeField()
    what = fields.CharField(max_length=40)
    participant = fields.CharField(max_length=10, null=True)
    status = fields.CharField(max_length=10, description="The order's status after the change")
    details = fields.TextField(null=True)
    by = fields.BigIntField(null=True, source_field="by_user", description="Who did it, if a person did")

    class Meta:
        table = "order_history"
        indexes = (Index(fields=("order_id", "id")),)
