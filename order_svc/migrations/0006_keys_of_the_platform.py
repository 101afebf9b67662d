"""Idempotency keys are the platform's: those that buyers have used move there, and stay good."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# What was asked for under them is not known any more, so that any body is answered with the first order. IGNORE:
# a migration that died before it was noted down is run again.
MOVE = (
    "INSERT IGNORE INTO `kept_answers` (`id`, `owner`, `call`, `fingerprint`, `answer`, `running_until`, `created_at`)"
    " SELECT SHA2(CONCAT_WS(CHAR(10), `buyer_id`, 'place_order', 'order.place', SHA2(`idempotency_key`, 256)), 256),"
    " `buyer_id`, 'order.place', '', CONCAT('{\"order_id\":\"', `order_id`, '\"}'), `created_at`, `created_at`"
    " FROM `idempotency_keys`"
)
NOTHING = "DO 0"  # they cannot be made of their hashes


class Migration(migrations.Migration):
    dependencies = [("order", "0005_bytewise_ids"), ("platform", "0003_kept_answers")]

    operations = [ops.RunSQL(MOVE, NOTHING), ops.DeleteModel(name="IdempotencyKey")]
