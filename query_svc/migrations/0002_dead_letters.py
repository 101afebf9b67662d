"""Dead letters, the queues they come from, and what operators do."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("query", "0001_initial")]

    initial = False

    operations = [
        ops.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "identity",
                    fields.CharField(
                        unique=True,
                        description="A digest by which its second arrival is recognised",
                        max_length=64,
                    ),
                ),
                ("group_key", fields.CharField(description="A digest of queue and exception", max_length=16)),
                ("state", fields.CharField(max_length=10)),
                ("queue", fields.CharField(max_length=200)),
                ("event", fields.CharField(null=True, max_length=255)),
                ("event_id", fields.CharField(null=True, max_length=255)),
                ("correlation_id", fields.CharField(null=True, max_length=255)),
                ("exception", fields.CharField(max_length=100)),
                ("message", fields.CharField(max_length=1000)),
                ("attempts", fields.IntField()),
                ("failed_redrives", fields.IntField()),
                ("failed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("seen_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "action_id",
                    fields.BigIntField(null=True, description="What an operator did about it last"),
                ),
                ("problem", fields.CharField(null=True, max_length=500)),
                (
                    "send_at",
                    fields.DatetimeField(
                        null=True,
                        description="From when on a process may send it back",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                (
                    "encoding",
                    fields.CharField(description="text, or base64 for a body that is no UTF-8", max_length=6),
                ),
                ("body", fields.TextField(unique=False)),
                ("headers", fields.TextField(unique=False)),
                ("properties", fields.TextField(unique=False)),
            ],
            options={
                "table": "dead_letters",
                "app": "query",
                "indexes": [
                    Index(fields=["group_key", "state", "id"]),
                    Index(fields=["state", "id"]),
                    Index(fields=["queue", "state", "id"]),
                    Index(fields=["correlation_id", "id"]),
                    Index(fields=["send_at"]),
                    Index(fields=["action_id"]),
                ],
                "pk_attr": "id",
                "table_description": "A message that a queue gave up on, with all that is needed to send it back there.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="LetterAction",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("letter_id", fields.BigIntField()),
                ("action_id", fields.BigIntField()),
            ],
            options={
                "table": "letter_actions",
                "app": "query",
                "unique_together": (("letter_id", "action_id"),),
                "pk_attr": "id",
                "table_description": "Which letters an action concerned.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OperatorAction",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("request_id", fields.UUIDField(unique=True)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("by_user", fields.BigIntField()),
                ("action", fields.CharField(max_length=40)),
                ("target", fields.CharField(max_length=200)),
                ("affected", fields.IntField()),
                ("unaffected", fields.IntField()),
                ("reason", fields.CharField(null=True, max_length=500)),
            ],
            options={
                "table": "operator_actions",
                "app": "query",
                "pk_attr": "id",
                "table_description": "Something that an operator did: who, when, what, to what, and why.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="WatchedQueue",
            fields=[
                ("queue", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=200)),
                ("service", fields.CharField(max_length=50)),
                ("handler", fields.CharField(max_length=200)),
                ("heard", fields.CharField(max_length=100)),
                (
                    "seen_at",
                    fields.DatetimeField(
                        description="When it was first seen", auto_now=False, auto_now_add=False
                    ),
                ),
            ],
            options={
                "table": "watched_queues",
                "app": "query",
                "pk_attr": "queue",
                "table_description": "A queue whose dead letters are taken in, remembered for when the service that owns it is down.",
            },
            bases=["Model"],
        ),
    ]
