"""No order that waits is without the time of the next look at it; an outage is allowed for once an order."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint

MEND = [
    "UPDATE `participants` SET `release_due_at` = UTC_TIMESTAMP(6)"
    " WHERE `stand` = 'RELEASING' AND `release_due_at` IS NULL",
    "UPDATE `orders` SET `deadline_at` = UTC_TIMESTAMP(6) + INTERVAL 30 SECOND WHERE `deadline_at` IS NULL"
    " AND (`status` = 'PENDING' OR `status` = 'FAIL' AND `settled` = 0 AND EXISTS"
    " (SELECT 1 FROM `participants` p WHERE p.`order_id` = `orders`.`id` AND p.`stand` = 'AWAITING'))",
    # Completed while there was no time to be paid within; see `due.FOR_EVER`.
    "UPDATE `orders` SET `deadline_at` = '9999-01-01' WHERE `deadline_at` IS NULL AND `status` = 'COMPLETED'"
    " AND `paid` = 0",
]


class Migration(migrations.Migration):
    dependencies = [("order", "0006_keys_of_the_platform")]

    operations = [
        ops.AddField(
            model_name="Order",
            name="extended_at",
            field=fields.DatetimeField(
                null=True,
                description="When it was given one more deadline for an outage, which happens once",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.RunSQL(MEND, ops.RunSQL.noop),
        ops.AddConstraint(
            model_name="Order",
            constraint=CheckConstraint(
                name="a_pending_order_is_due", check="`status` <> 'PENDING' OR `deadline_at` IS NOT NULL"
            ),
        ),
        ops.AddConstraint(
            model_name="Participant",
            constraint=CheckConstraint(
                name="a_releasing_participant_is_due",
                check="`stand` <> 'RELEASING' OR `release_due_at` IS NOT NULL",
            ),
        ),
    ]
