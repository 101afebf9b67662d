"""Ids and words of our own compare byte by byte."""

from tortoise import migrations

from shared.database.altering import bytewise

ID = "VARCHAR(36) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("platform", "0001_initial")]

    operations = [
        bytewise("outbox", id=ID, type="VARCHAR(100) NOT NULL"),
    ]
