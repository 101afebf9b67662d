"""Several payments of one order, one after another: claims become payments; and keys to pay once by."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("payment", "0001_initial")]

    initial = False

    operations = [
        ops.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                (
                    "idempotency_key",
                    fields.CharField(description="Its hash: keys differ in case, too", max_length=64),
                ),
                ("wish", fields.CharField(description="Hash of what was to be paid, and how", max_length=64)),
                ("payment_id", fields.CharField(max_length=36)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "idempotency_keys",
                "app": "payment",
                "unique_together": (("user_id", "idempotency_key"),),
                "pk_attr": "id",
                "table_description": "A payer's key for paying once, whatever the network does.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PaymentRow",
            fields=[
                ("payment_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("order_id", fields.CharField(max_length=36)),
                (
                    "attempt",
                    fields.IntField(description="0: part of placing the order; 1 and more: paid later"),
                ),
                ("state", fields.CharField(max_length=9)),
                (
                    "user_id",
                    fields.BigIntField(
                        null=True, description="Null in the tombstone of an order never heard of"
                    ),
                ),
                ("method", fields.CharField(null=True, max_length=16)),
                ("amount", fields.BigIntField(null=True, description="What was or may have been taken")),
                ("reason", fields.CharField(null=True, max_length=64)),
                ("details", fields.TextField(description="Of the reason, JSON", unique=False)),
                (
                    "card_key",
                    fields.CharField(null=True, description="Names the card to the PG", max_length=200),
                ),
                ("asks", fields.IntField(default=0, description="How often the PG was asked about it")),
                (
                    "asked_at",
                    fields.DatetimeField(
                        null=True,
                        description="When the PG was last asked to charge it",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                (
                    "ask_due_at",
                    fields.DatetimeField(
                        null=True,
                        description="When to ask the PG; null if not to",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "payments",
                "app": "payment",
                "unique_together": (("order_id", "attempt"),),
                "indexes": [Index(fields=["ask_due_at"])],
                "pk_attr": "payment_id",
                "table_description": "A payment of an order, or what was said instead (see `domain.Payment`). Never deleted.",
            },
            bases=["Model"],
        ),
        ops.DeleteModel(name="ClaimRow"),
    ]
