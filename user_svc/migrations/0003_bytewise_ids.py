"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "VARCHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("user", "0002_notifications")]

    operations = [
        bytewise(
            "notifications",
            order_id=ID,
            kind="VARCHAR(32) NOT NULL COMMENT 'order_failed, order_cancelled, order_expired or payment_refunded'",
        ),
    ]
