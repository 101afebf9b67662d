"""The last guard against overselling, in the table itself: the model layer cannot make checks when it makes tables."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("item", "0002_exact_names")]

    operations = [
        ops.RunSQL(
            "ALTER TABLE `items` ADD CONSTRAINT `items_stock_is_never_below_zero` CHECK (`stock` >= 0)",
            "ALTER TABLE `items` DROP CONSTRAINT `items_stock_is_never_below_zero`",
        )
    ]
