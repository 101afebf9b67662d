"""Notifications and their deliveries; a user's sign-ins are found by the user."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("user", "0001_initial")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Delivery",
            fields=[
                ("notification_id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                (
                    "due_at",
                    fields.DatetimeField(
                        null=True,
                        description="The next try; none where it was given up",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("attempts", fields.IntField(default=0)),
                ("last_error", fields.CharField(null=True, max_length=300)),
            ],
            options={
                "table": "deliveries",
                "app": "user",
                "indexes": [Index(fields=["due_at"])],
                "pk_attr": "notification_id",
                "table_description": "A notification that is still to be sent outside; the row goes when that is done.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Notification",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("order_id", fields.CharField(max_length=36)),
                (
                    "kind",
                    fields.CharField(
                        description="order_failed, order_cancelled, order_expired or payment_refunded",
                        max_length=32,
                    ),
                ),
                ("reason", fields.CharField(null=True, description="Of an order's failure", max_length=64)),
                ("amount", fields.BigIntField(null=True, description="Of a refund")),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("read_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "notifications",
                "app": "user",
                "unique_together": (("order_id", "kind"),),
                "indexes": [Index(fields=["user_id", "id"])],
                "pk_attr": "id",
                "table_description": "Something that a buyer is told of. A user's are numbered in the order in which they can be seen.",
            },
            bases=["Model"],
        ),
        ops.AddIndex(
            model_name="SignInSession",
            index=Index(fields=["user_id"]),
        ),
    ]
