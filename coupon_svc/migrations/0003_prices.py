from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("coupon", "0002_issue_guard")]

    initial = False

    operations = [
        ops.CreateModel(
            name="ItemPrice",
            fields=[
                ("item_id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("price", fields.BigIntField()),
                ("version", fields.IntField()),
                ("deleted", fields.BooleanField(default=False)),
            ],
            options={
                "table": "item_prices",
                "app": "coupon",
                "pk_attr": "item_id",
                "table_description": "What coupon knows of an item: its price at some version. A deleted one stays, and stays deleted.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PriceReading",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("read_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("items", fields.BigIntField(description="How many were on sale")),
                (
                    "gone",
                    fields.BigIntField(description="How many were known here and are not on sale any more"),
                ),
            ],
            options={
                "table": "price_readings",
                "app": "coupon",
                "pk_attr": "id",
                "table_description": "A full reading of the catalogue's prices that came to its end.",
            },
            bases=["Model"],
        ),
    ]
