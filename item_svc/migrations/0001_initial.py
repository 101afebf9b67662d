from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Item",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("name", fields.CharField(max_length=100)),
                ("size", fields.CharField(max_length=100)),
                ("price", fields.BigIntField()),
                ("stock", fields.BigIntField()),
                ("initial_stock", fields.BigIntField()),
                ("version", fields.IntField(default=1)),
                ("retired", fields.BigIntField(default=0)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "items",
                "app": "item",
                "unique_together": (("name", "size", "retired"),),
                "pk_attr": "id",
                "table_description": "An item of the catalogue, with what is on its shelf.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ItemClaim",
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
                "table": "item_claims",
                "app": "item",
                "pk_attr": "order_id",
                "table_description": "What item answered an order, and whether it holds stock for it. Never purged: late repeats may come.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ItemRequest",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("item_id", fields.BigIntField()),
                ("done_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "item_requests",
                "app": "item",
                "pk_attr": "id",
                "table_description": "A change that was asked for and done, so that asking again with the same id does nothing more.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="StockChange",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("item_id", fields.BigIntField()),
                ("order_id", fields.CharField(null=True, max_length=36)),
                ("delta", fields.BigIntField()),
                ("balance", fields.BigIntField(description="The stock after this change")),
                (
                    "cause",
                    fields.CharField(description="initial, order, release or adjustment", max_length=10),
                ),
                ("reason", fields.CharField(null=True, max_length=200)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "stock_history",
                "app": "item",
                "unique_together": (("order_id", "item_id", "cause"),),
                "indexes": [Index(fields=["item_id", "id"])],
                "pk_attr": "id",
                "table_description": "One change of one item's stock. What a HELD claim holds is the sum of its rows of cause `order`.",
            },
            bases=["Model"],
        ),
    ]
