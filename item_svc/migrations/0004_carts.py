from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("item", "0003_stock_guard")]

    initial = False

    operations = [
        ops.CreateModel(
            name="CartLine",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("item_id", fields.BigIntField()),
                ("quantity", fields.BigIntField()),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "cart_lines",
                "app": "item",
                "unique_together": (("user_id", "item_id"),),
                "pk_attr": "id",
                "table_description": "An item that a user has put aside. There are no empty lines.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="CartTaking",
            fields=[
                ("order_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("state", fields.CharField(description="TAKEN or RETURNED", max_length=10)),
                ("user_id", fields.BigIntField(null=True)),
                (
                    "pieces",
                    fields.TextField(
                        null=True, description="JSON: how many of each item, by its id", unique=False
                    ),
                ),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "cart_takings",
                "app": "item",
                "pk_attr": "order_id",
                "table_description": "What an order took out of its buyer's cart: TAKEN, or RETURNED because the order came to nothing.",
            },
            bases=["Model"],
        ),
    ]
