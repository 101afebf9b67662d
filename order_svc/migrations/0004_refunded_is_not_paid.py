"""Orders whose money was given back before that made them count as unpaid."""

from tortoise import migrations
from tortoise.migrations import operations as ops

MEND = (
    "UPDATE `orders` o JOIN `participants` p ON p.`order_id` = o.`id` AND p.`name` = 'payment'"
    " SET o.`paid` = 0, o.`version` = o.`version` + 1 WHERE o.`paid` = 1 AND p.`stand` = 'RELEASED'"
)
NOTHING = "DO 0"  # how they were before is nothing to go back to


class Migration(migrations.Migration):
    dependencies = [("order", "0003_item_names")]

    operations = [ops.RunSQL(MEND, NOTHING)]
