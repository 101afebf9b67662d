"""The tables of the payment service."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Account",
            fields=[
                (
                    "user_id",
                    fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True),
                ),
                ("balance", fields.BigIntField()),
                ("state", fields.CharField(description="OPEN or CLOSED", max_length=8)),
                ("opened_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "accounts",
                "app": "payment",
                "pk_attr": "user_id",
                "table_description": "A user's points: the sum of the account's ledger. CLOSED is for good: that registration has failed.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ClaimRow",
            fields=[
                ("order_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("payment_id", fields.CharField(unique=True, max_length=36)),
                ("state", fields.CharField(max_length=8)),
                (
                    "user_id",
                    fields.BigIntField(
                        null=True, description="Null in the tombstone of an order never heard of"
                    ),
                ),
                ("method", fields.CharField(null=True, max_length=16)),
                ("amount", fields.BigIntField(null=True, description="What was taken")),
                ("reason", fields.CharField(null=True, max_length=64)),
                ("details", fields.TextField(description="Of the reason, JSON", unique=False)),
                ("decided_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("released_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "claims",
                "app": "payment",
                "pk_attr": "order_id",
                "table_description": "What was said to an order as its participant: HELD, REJECTED or RELEASED. Never deleted.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="LedgerRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("delta", fields.BigIntField()),
                ("balance", fields.BigIntField(description="Right after this change")),
                ("kind", fields.CharField(description="opening, charge, capture or refund", max_length=16)),
                ("order_id", fields.CharField(null=True, max_length=36)),
                ("payment_id", fields.CharField(null=True, max_length=36)),
                (
                    "charge_key",
                    fields.CharField(
                        null=True,
                        description="Hash of a charge's idempotency key: keys differ in case, too",
                        max_length=64,
                    ),
                ),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "ledger",
                "app": "payment",
                "unique_together": (("user_id", "charge_key"),),
                "indexes": [Index(fields=["user_id", "id"])],
                "pk_attr": "id",
                "table_description": "One change of an account's balance; never changed or deleted.",
            },
            bases=["Model"],
        ),
        # The last line of defence: whatever a mistake elsewhere may ask for, an account cannot go below zero.
        ops.RunSQL(
            "ALTER TABLE accounts ADD CONSTRAINT accounts_not_below_zero CHECK (balance >= 0)",
            reverse_sql="ALTER TABLE accounts DROP CONSTRAINT accounts_not_below_zero",
        ),
    ]
