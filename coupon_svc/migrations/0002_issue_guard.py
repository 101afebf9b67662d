"""The last guard against issuing too many, in the table itself: the model layer makes no checks with its tables."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("coupon", "0001_initial")]

    operations = [
        ops.RunSQL(
            "ALTER TABLE `coupon_policies` ADD CONSTRAINT `coupon_policies_no_more_than_there_are`"
            " CHECK (`quantity` IS NULL OR `issued` <= `quantity`)",
            "ALTER TABLE `coupon_policies` DROP CONSTRAINT `coupon_policies_no_more_than_there_are`",
        )
    ]
