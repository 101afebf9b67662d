"""What the items of an order were called, and a deadline for paying."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("order", "0002_exact_keys")]

    initial = False

    operations = [
        ops.AlterField(
            model_name="Order",
            name="deadline_at",
            field=fields.DatetimeField(
                null=True,
                description="Until when it waits for answers, or completed for being paid",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.AddField(
            model_name="Order",
            name="item_names",
            field=fields.TextField(
                null=True, description="JSON by item id, from when they were taken", unique=False
            ),
        ),
    ]
