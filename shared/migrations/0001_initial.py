from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="InboxEntry",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("consumer", fields.CharField(max_length=150)),
                ("event_id", fields.CharField(max_length=64)),
                ("received_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "inbox",
                "app": "platform",
                "unique_together": (("consumer", "event_id"),),
                "indexes": [Index(fields=["received_at"])],
                "pk_attr": "id",
                "table_description": "An event that a consumer has taken in, so that its second arrival changes nothing.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OutboxMessage",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("type", fields.CharField(max_length=100)),
                ("count", fields.IntField(description="How many events the body holds")),
                (
                    "subjects",
                    fields.TextField(
                        description="What the events are about, separated by spaces", unique=False
                    ),
                ),
                ("correlation_id", fields.CharField(null=True, max_length=100)),
                (
                    "body",
                    fields.TextField(description="A CloudEvents batch, as it goes on the wire", unique=False),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "available_at",
                    fields.DatetimeField(
                        description="From when on a scheduler may claim it",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("attempts", fields.IntField(default=0)),
            ],
            options={
                "table": "outbox",
                "app": "platform",
                "indexes": [Index(fields=["available_at", "id"]), Index(fields=["type"])],
                "pk_attr": "id",
                "table_description": "A message that was committed but is not known to be with the broker yet; deleted once it is.",
            },
            bases=["Model"],
        ),
    ]
