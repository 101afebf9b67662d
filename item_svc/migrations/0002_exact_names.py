"""Names compare exactly: two stock codes that differ in a capital are two items, on every database alike."""

from tortoise import migrations
from tortoise.migrations import operations as ops

COLUMN = "ALTER TABLE `items` MODIFY `{}` VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
BACK = "ALTER TABLE `items` MODIFY `{}` VARCHAR(100) CHARACTER SET utf8mb4 NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("item", "0001_initial")]

    operations = [
        ops.RunSQL([COLUMN.format("name"), COLUMN.format("size")], [BACK.format("name"), BACK.format("size")])
    ]
