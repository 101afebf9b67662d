from tortoise import migrations
from tortoise.migrations import operations as ops
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("buyer_id", fields.BigIntField()),
                ("idempotency_key", fields.CharField(max_length=255)),
                ("body_hash", fields.CharField(max_length=64)),
                ("order_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "idempotency_keys",
                "app": "order",
                "unique_together": (("buyer_id", "idempotency_key"),),
                "pk_attr": "id",
                "table_description": "A buyer's key for placing an order once, whatever the network does.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Order",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("buyer_id", fields.BigIntField()),
                ("status", fields.CharField(max_length=10)),
                ("reason", fields.CharField(null=True, max_length=40)),
                ("reason_details", fields.TextField(null=True, unique=False)),
                ("settled", fields.BooleanField(default=False)),
                ("paid", fields.BooleanField(default=False)),
                ("pay_with", fields.CharField(null=True, max_length=10)),
                ("total", fields.BigIntField()),
                ("lines", fields.TextField(unique=False)),
                ("version", fields.IntField()),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "deadline_at",
                    fields.DatetimeField(
                        null=True,
                        description="Null once every participant has answered",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
            ],
            options={
                "table": "orders",
                "app": "order",
                "indexes": [Index(fields=["buyer_id", "id"]), Index(fields=["deadline_at"])],
                "pk_attr": "id",
                "table_description": "An order; its lines are a snapshot that never changes, so they stand as one JSON document.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderHistory",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("order_id", fields.UUIDField()),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("what", fields.CharField(max_length=40)),
                ("participant", fields.CharField(null=True, max_length=10)),
                (
                    "status",
                    fields.CharField(description="The order's status after the change", max_length=10),
                ),
                ("details", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "order_history",
                "app": "order",
                "indexes": [Index(fields=["order_id", "id"])],
                "pk_attr": "id",
                "table_description": "Every change in an order's life, in order.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Participant",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("order_id", fields.UUIDField()),
                ("name", fields.CharField(max_length=10)),
                ("stand", fields.CharField(max_length=10)),
                ("payment_id", fields.UUIDField(null=True)),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "release_due_at",
                    fields.DatetimeField(
                        null=True,
                        description="When to ask again to give back; null if not asked",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("releases", fields.IntField(default=0, description="How often it was asked to give back")),
            ],
            options={
                "table": "participants",
                "app": "order",
                "unique_together": (("order_id", "name"),),
                "indexes": [Index(fields=["release_due_at"])],
                "pk_attr": "id",
                "table_description": "Where one participant of an order stands.",
            },
            bases=["Model"],
        ),
    ]
