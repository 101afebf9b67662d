"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "CHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("order", "0004_refunded_is_not_paid")]

    operations = [
        bytewise("orders", id=ID),
        bytewise("participants", order_id=ID, name="VARCHAR(10) NOT NULL", payment_id="CHAR(36) NULL"),
        bytewise("order_history", order_id=ID),
        bytewise("idempotency_keys", order_id=ID),
    ]
