"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "CHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("query", "0002_dead_letters")]

    operations = [
        bytewise("order_views", order_id=ID, payment_id="CHAR(36) NULL", status="VARCHAR(10) NOT NULL"),
    ]
