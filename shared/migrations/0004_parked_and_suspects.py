"""Outbox messages that cannot be sent wait for a person; events that kill their process are counted."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("platform", "0003_kept_answers")]

    initial = False

    operations = [
        ops.AddField(
            model_name="OutboxMessage",
            name="parked_at",
            field=fields.DatetimeField(
                null=True, description="Since when it waits for a person", auto_now=False, auto_now_add=False
            ),
        ),
        ops.AddField(
            model_name="OutboxMessage",
            name="problem",
            field=fields.CharField(null=True, description="Why it could not be sent", max_length=500),
        ),
        ops.CreateModel(
            name="Suspect",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True,
                        unique=True,
                        db_index=True,
                        description="Hash of the queue and the event",
                        max_length=64,
                    ),
                ),
                ("begun", fields.IntField(description="How often; what ends, however it ends, is taken out")),
                ("begun_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "suspects",
                "app": "platform",
                "indexes": [Index(fields=["begun_at"])],
                "pk_attr": "id",
                "table_description": "An event whose handling was begun, and may kill the process; see `shared/events/suspects.py`.",
            },
            bases=["Model"],
        ),
    ]
