"""The first answers of calls that had an idempotency key."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index

from shared.database.altering import bytewise

HASH = "VARCHAR(64) NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("platform", "0002_bytewise_ids")]

    initial = False

    operations = [
        ops.CreateModel(
            name="KeptAnswer",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True,
                        unique=True,
                        db_index=True,
                        description="Hash of owner, route, call and key",
                        max_length=64,
                    ),
                ),
                ("owner", fields.BigIntField(description="The user whose key it was")),
                ("call", fields.CharField(max_length=100)),
                (
                    "fingerprint",
                    fields.CharField(
                        description="Hash of what was asked for; empty where that is not known", max_length=64
                    ),
                ),
                (
                    "answer",
                    fields.TextField(
                        null=True, description="JSON; null while the call is running", unique=False
                    ),
                ),
                (
                    "work",
                    fields.CharField(
                        null=True, description="What was begun, for who carries it on", max_length=200
                    ),
                ),
                (
                    "running_until",
                    fields.DatetimeField(
                        description="From when on a call without an answer is abandoned",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "kept_answers",
                "app": "platform",
                "indexes": [Index(fields=["created_at"])],
                "pk_attr": "id",
                "table_description": "The first answer of a call that had an idempotency key; see `shared/database/idempotency.py`.",
            },
            bases=["Model"],
        ),
        bytewise("kept_answers", id=HASH, call="VARCHAR(100) NOT NULL", fingerprint=HASH),
    ]
