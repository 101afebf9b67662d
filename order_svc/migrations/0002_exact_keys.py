"""Idempotency keys compare exactly: two that differ in a capital are two keys, on every database alike."""

from tortoise import migrations
from tortoise.migrations import operations as ops

COLUMN = (
    "ALTER TABLE `idempotency_keys` MODIFY `idempotency_key` VARCHAR(255)"
    " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
)
BACK = "ALTER TABLE `idempotency_keys` MODIFY `idempotency_key` VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("order", "0001_initial")]

    operations = [ops.RunSQL(COLUMN, BACK)]
