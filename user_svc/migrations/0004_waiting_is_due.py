"""No sign-up or delivery that waits is without the time of its next try; several refunds of an order are told."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from shared.database.altering import bytewise

MEND_USERS = "UPDATE `users` SET `due_at` = UTC_TIMESTAMP(6) WHERE `state` = 'OPENING' AND `due_at` IS NULL"
MEND_DELIVERIES = "UPDATE `deliveries` SET `state` = IF(`due_at` IS NULL, 'GIVEN_UP', 'WAITING')"
WHICH = "Of several of a kind for an order: the payment, and the sum refunded by then"


class Migration(migrations.Migration):
    dependencies = [("user", "0003_bytewise_ids")]

    operations = [
        ops.AddField(
            model_name="User",
            name="due_at",
            field=fields.DatetimeField(
                null=True,
                description="When an OPENING sign-up is taken up again",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.AddIndex(model_name="User", index=Index(fields=["due_at"])),
        ops.RemoveIndex(model_name="User", fields=["state", "created_at"]),
        ops.RunSQL(MEND_USERS, ops.RunSQL.noop),
        ops.AddConstraint(
            model_name="User",
            constraint=CheckConstraint(
                name="an_opening_user_is_due", check="`state` <> 'OPENING' OR `due_at` IS NOT NULL"
            ),
        ),
        ops.AddField(
            model_name="Delivery",
            name="state",
            field=fields.CharField(description="WAITING or GIVEN_UP", max_length=10),
        ),
        ops.RunSQL(MEND_DELIVERIES, ops.RunSQL.noop),
        bytewise("deliveries", state="VARCHAR(10) NOT NULL COMMENT 'WAITING or GIVEN_UP'"),
        ops.AddConstraint(
            model_name="Delivery",
            constraint=CheckConstraint(
                name="a_waiting_delivery_is_due", check="`state` <> 'WAITING' OR `due_at` IS NOT NULL"
            ),
        ),
        ops.AlterField(
            model_name="Notification",
            name="kind",
            field=fields.CharField(description="See `contracts.NotificationKind`", max_length=32),
        ),
        ops.AddField(
            model_name="Notification",
            name="part",
            field=fields.CharField(default="", description=WHICH, max_length=60),
        ),
        bytewise(
            "notifications",
            kind="VARCHAR(32) NOT NULL COMMENT 'See `contracts.NotificationKind`'",
            part=f"VARCHAR(60) NOT NULL DEFAULT '' COMMENT '{WHICH}'",
        ),
        ops.AddConstraint(
            model_name="Notification", constraint=UniqueConstraint(fields=("order_id", "kind", "part"))
        ),
        ops.RemoveConstraint(model_name="Notification", fields=["order_id", "kind"]),
    ]
