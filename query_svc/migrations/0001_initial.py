"""Store and views. Foreign ids compare exactly."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index

EXACT = "ALTER TABLE `saga_event_log` MODIFY `{}` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin {}"
BEST_SELLERS = "CREATE INDEX `best_by_{0}` ON `item_sales` (`period`, `start`, `{0}`, `item_id` DESC)"


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="ItemName",
            fields=[
                ("item_id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("name", fields.CharField(max_length=255)),
                ("version", fields.BigIntField(description="The item's, 0 where an order told the name")),
                ("told_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "item_names",
                "app": "query",
                "pk_attr": "item_id",
                "table_description": "What an item is called: as the catalogue told it last, or else as an order found it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ItemSales",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("period", fields.CharField(description="day, week, month or all", max_length=5)),
                ("start", fields.DateField(description="Its first day")),
                ("item_id", fields.BigIntField()),
                ("quantity", fields.BigIntField()),
                ("revenue", fields.DecimalField(max_digits=38, decimal_places=0)),
            ],
            options={
                "table": "item_sales",
                "app": "query",
                "unique_together": (("period", "start", "item_id"),),
                "pk_attr": "id",
                "table_description": "What was sold of an item in a day, week, month and altogether; called-off orders do not count.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderView",
            fields=[
                ("order_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("buyer_id", fields.BigIntField(null=True)),
                ("total", fields.BigIntField(null=True)),
                ("status", fields.CharField(max_length=10)),
                ("settled", fields.BooleanField()),
                ("reason", fields.CharField(null=True, max_length=100)),
                ("reason_details", fields.TextField(null=True, description="JSON", unique=False)),
                ("pay_with", fields.CharField(null=True, max_length=10)),
                ("payment_id", fields.UUIDField(null=True)),
                ("participants", fields.TextField(null=True, description="JSON", unique=False)),
                ("line_count", fields.IntField(null=True)),
                ("lines", fields.TextField(null=True, description="JSON", unique=False)),
                ("placed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("completed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("confirmed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("failed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "settled_at",
                    fields.DatetimeField(
                        null=True,
                        description="When a failed order came to rest",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("cancelled_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("last_event_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "order_views",
                "app": "query",
                "indexes": [
                    Index(fields=["buyer_id", "order_id"]),
                    Index(fields=["status", "order_id"]),
                    Index(fields=["settled", "order_id"]),
                ],
                "pk_attr": "order_id",
                "table_description": "An order, from its own events alone. Each column is written by one kind of event, so their order of",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SagaEvent",
            fields=[
                ("position", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("message_id", fields.CharField(unique=True, max_length=255)),
                (
                    "saga_id",
                    fields.CharField(
                        description="The order's id, or else the correlation id", max_length=255
                    ),
                ),
                ("service", fields.CharField(description="Who said it", max_length=100)),
                ("event_type", fields.CharField(max_length=255)),
                ("event_data", fields.TextField(description="JSON, as it came", unique=False)),
                (
                    "status",
                    fields.CharField(description="PENDING, COMPLETED, FAILED or COMPENSATED", max_length=11),
                ),
                (
                    "time",
                    fields.DatetimeField(description="When it happened", auto_now=False, auto_now_add=False),
                ),
                ("stored_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("subject", fields.CharField(max_length=255)),
                ("sequence", fields.BigIntField(null=True, description="The version of what it is about")),
                ("correlation_id", fields.CharField(null=True, max_length=255)),
                ("causation_id", fields.CharField(null=True, max_length=255)),
            ],
            options={
                "table": "saga_event_log",
                "app": "query",
                "indexes": [Index(fields=["saga_id", "position"]), Index(fields=["status", "position"])],
                "pk_attr": "position",
                "table_description": "An event as it came; rows are only ever added.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SalesHour",
            fields=[
                (
                    "hour",
                    fields.DatetimeField(
                        primary_key=True, unique=True, db_index=True, auto_now=False, auto_now_add=False
                    ),
                ),
                ("orders", fields.BigIntField()),
                ("quantity", fields.BigIntField()),
                ("revenue", fields.DecimalField(max_digits=38, decimal_places=0)),
                ("cancelled_orders", fields.BigIntField()),
                ("cancelled_revenue", fields.DecimalField(max_digits=38, decimal_places=0)),
            ],
            options={
                "table": "sales_hours",
                "app": "query",
                "pk_attr": "hour",
                "table_description": "The orders confirmed in an hour: those that stand, and those called off since.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="StoreHead",
            fields=[
                ("id", fields.IntField(primary_key=True, unique=True, db_index=True)),
                ("position", fields.BigIntField(description="The last one given")),
                ("folded", fields.BigIntField(description="Up to where the views contain the events")),
                (
                    "wiping",
                    fields.BooleanField(
                        default=False, description="The views are being emptied for a rebuild"
                    ),
                ),
            ],
            options={
                "table": "event_store_head",
                "app": "query",
                "pk_attr": "id",
                "table_description": "One row. Whoever writes to the store or the views locks it first, so that there is one at a time.",
            },
            bases=["Model"],
        ),
        ops.RunSQL(
            [
                EXACT.format("message_id", "NOT NULL"),
                EXACT.format("saga_id", "NOT NULL"),
                EXACT.format("causation_id", "NULL"),
                BEST_SELLERS.format("quantity"),
                BEST_SELLERS.format("revenue"),
                "INSERT INTO `event_store_head` (`id`, `position`, `folded`, `wiping`) VALUES (1, 0, 0, 0)",
            ],
            ["SELECT 1"],
        ),
    ]
