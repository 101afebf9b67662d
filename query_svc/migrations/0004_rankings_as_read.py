"""Ranking indexes in the order in which they are read: MySQL reads one of mixed directions in no other.

Words of our own that are in an index compare byte by byte.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

from shared.database.altering import bytewise

RANKINGS = ("quantity", "revenue")
DROP = "ALTER TABLE `item_sales` DROP INDEX `best_by_{}`"
AS_READ = "CREATE INDEX `best_by_{0}` ON `item_sales` (`period`, `start`, `{0}` DESC, `item_id`)"
BACKWARDS = "CREATE INDEX `best_by_{0}` ON `item_sales` (`period`, `start`, `{0}`, `item_id` DESC)"


class Migration(migrations.Migration):
    dependencies = [("query", "0003_bytewise_ids")]

    operations = [
        ops.RunSQL(
            [statement.format(by) for by in RANKINGS for statement in (DROP, AS_READ)],
            [statement.format(by) for by in RANKINGS for statement in (DROP, BACKWARDS)],
        ),
        bytewise("item_sales", period="VARCHAR(5) NOT NULL COMMENT 'day, week, month or all'"),
        bytewise(
            "saga_event_log",
            status="VARCHAR(11) NOT NULL COMMENT 'PENDING, COMPLETED, FAILED or COMPENSATED'",
        ),
    ]
