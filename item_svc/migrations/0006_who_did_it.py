"""Who changed an item's stock by hand."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("item", "0005_bytewise_ids")]

    operations = [
        ops.AddField(
            model_name="StockChange",
            name="by",
            field=fields.BigIntField(null=True, source_field="by_user", description="Who did it by hand"),
        ),
    ]
