"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "VARCHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("payment", "0002_payments")]

    operations = [
        bytewise("payments", payment_id=ID, order_id=ID),
        bytewise("ledger", order_id="VARCHAR(36) NULL", payment_id="VARCHAR(36) NULL"),
    ]
