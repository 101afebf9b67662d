"""Money comes to its end: payments that wait say when they are looked at, pay with a key once, and know what was
given back of them; numbers before there is a payment; points that are bought or granted; who did what.

What is there is mended first, since the checks at the end refuse what they would not let be written.
"""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from shared.database.altering import bytewise

ID = "VARCHAR(36) NOT NULL"
MAYBE_ID = "VARCHAR(36) NULL"
KEY = "VARCHAR(200) NULL"

# A key paid several payments at once: the oldest keeps it (numbers sort by time), a person decides about others.
_TWICE = """
    JOIN (SELECT card_key, MIN(payment_id) AS oldest FROM payments WHERE card_key IS NOT NULL
           GROUP BY card_key HAVING COUNT(*) > 1) twice
      ON twice.card_key = p.card_key AND twice.oldest <> p.payment_id
"""


def _to_a_person(states: str, wanted: str) -> ops.RunSQL:
    details = (
        '{"code":"PAYMENT_KEY_USED","message":"Its payment key had paid for another payment.",'
        f'"wanted":"{wanted}"}}'
    )
    return ops.RunSQL(
        f"UPDATE payments p {_TWICE} SET p.reason = 'key_used_twice', p.details = '{details}',"
        f" p.state = 'NEEDS_ATTENTION', p.card_key = NULL, p.ask_due_at = NULL WHERE p.state IN ({states})",
        reverse_sql="DO 0",
    )


def _run(sql: str, reverse_sql: str = "DO 0") -> ops.RunSQL:
    return ops.RunSQL(sql, reverse_sql=reverse_sql)


class Migration(migrations.Migration):
    dependencies = [("payment", "0003_bytewise_ids")]

    operations = [
        ops.CreateModel(
            name="AuditRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("actor_id", fields.BigIntField(description="The admin who did it")),
                ("action", fields.CharField(max_length=32)),
                ("subject", fields.CharField(description="A payment's or a user's id", max_length=36)),
                ("details", fields.TextField(description="JSON", unique=False)),
            ],
            options={
                "table": "audit_log",
                "app": "payment",
                "indexes": [Index(fields=["subject", "id"])],
                "pk_attr": "id",
                "table_description": "What a person of the shop did about money; never changed or deleted.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="IntentRow",
            fields=[
                ("payment_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("user_id", fields.BigIntField()),
                (
                    "order_id",
                    fields.CharField(
                        null=True, description="The order that it was made to pay for", max_length=36
                    ),
                ),
                (
                    "amount",
                    fields.BigIntField(null=True, description="Null for a number made together with its key"),
                ),
                (
                    "card_key",
                    fields.CharField(null=True, description="What the buyer brought for it", max_length=200),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "used_at",
                    fields.DatetimeField(
                        null=True, description="When a payment took it", auto_now=False, auto_now_add=False
                    ),
                ),
            ],
            options={
                "table": "payment_intents",
                "app": "payment",
                "indexes": [Index(fields=["expires_at"])],
                "pk_attr": "payment_id",
                "table_description": "The number of a payment before there is one: whose, of how much, until when, and the key it pays with.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="NoticePace",
            fields=[
                ("id", fields.IntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ("next_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "notice_pace",
                "app": "payment",
                "pk_attr": "id",
                "table_description": "One row: when the next notice of the PG may have it asked a question, so that a flood asks few.",
            },
            bases=["Model"],
        ),
        ops.AlterField(
            model_name="PaymentRow",
            name="state",
            field=fields.CharField(max_length=16),
        ),
        # Before it is unique: describing a column gives it the table's collation, in which "k" and "K" are one.
        ops.AlterField(
            model_name="PaymentRow",
            name="card_key",
            field=fields.CharField(
                null=True, description="Names the card to the PG; pays once", max_length=200
            ),
        ),
        bytewise("payments", card_key=KEY),
        _to_a_person("'RELEASING'", "cancel"),
        _to_a_person("'ASKING', 'HELD'", "charge"),
        _run(f"UPDATE payments p {_TWICE} SET p.card_key = NULL"),
        ops.AlterField(
            model_name="PaymentRow",
            name="card_key",
            field=fields.CharField(
                null=True, unique=True, description="Names the card to the PG; pays once", max_length=200
            ),
        ),
        ops.RemoveConstraint(
            model_name="LedgerRow",
            name=None,
            fields=["user_id", "charge_key"],
        ),
        ops.AlterField(
            model_name="LedgerRow",
            name="kind",
            field=fields.CharField(description="See `contracts.LedgerKind`", max_length=16),
        ),
        ops.AlterField(
            model_name="LedgerRow",
            name="payment_id",
            field=fields.CharField(null=True, description="Its cause; null: opening or grant", max_length=36),
        ),
        ops.AddField(
            model_name="LedgerRow",
            name="grant_id",
            field=fields.CharField(
                null=True, unique=True, description="Of a grant: the same one is made once", max_length=36
            ),
        ),
        ops.AddField(
            model_name="LedgerRow",
            name="note",
            field=fields.CharField(null=True, description="Of a grant: why it was made", max_length=200),
        ),
        ops.RemoveField(model_name="LedgerRow", name="charge_key"),
        ops.AlterModelOptions(
            name="PaymentRow",
            options={
                "table": "payments",
                "app": "payment",
                "unique_together": (("order_id", "attempt"),),
                "indexes": [Index(fields=["ask_due_at"]), Index(fields=["state", "payment_id"])],
                "pk_attr": "payment_id",
                "table_description": "A payment, or what was said to an order instead (see `domain.Payment`). Never deleted.",
            },
        ),
        ops.AlterField(
            model_name="PaymentRow",
            name="asks",
            field=fields.IntField(default=0, description="How often the PG was asked since it stands so"),
        ),
        ops.AlterField(
            model_name="PaymentRow",
            name="order_id",
            field=fields.CharField(null=True, description="Null where points are bought", max_length=36),
        ),
        ops.AlterField(
            model_name="PaymentRow",
            name="payment_id",
            field=fields.CharField(
                primary_key=True,
                unique=True,
                db_index=True,
                description="Our order number at the PG",
                max_length=36,
            ),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="looked_at",
            field=fields.DatetimeField(
                null=True,
                description="When the PG was last asked anything about it",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="refund_id",
            field=fields.CharField(
                null=True, description="Of the refund in part asked for last", max_length=36
            ),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="refunded",
            field=fields.BigIntField(default=0, description="What has been given back of it, in all"),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="refunding",
            field=fields.BigIntField(default=0, description="What the PG was asked to give back in part"),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="released",
            field=fields.BigIntField(
                default=0, description="The part of `refunded` that its release gave back"
            ),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="resolved",
            field=fields.CharField(
                null=True, description="How a person closed it, if one did", max_length=12
            ),
        ),
        ops.AddIndex(
            model_name="PaymentRow",
            index=Index(fields=["state", "payment_id"]),
        ),
        bytewise("payments", payment_id=ID, order_id=MAYBE_ID, refund_id=MAYBE_ID, card_key=KEY),
        bytewise("payment_intents", payment_id=ID, order_id=MAYBE_ID, card_key=KEY),
        bytewise("ledger", order_id=MAYBE_ID, payment_id=MAYBE_ID, grant_id=MAYBE_ID),
        bytewise("audit_log", subject=ID),
        _run(
            "UPDATE payments SET refunded = amount, released = amount"
            " WHERE state = 'RELEASED' AND reason IS NULL AND amount > 0"
        ),
        _run(
            "UPDATE payments SET ask_due_at = UTC_TIMESTAMP(6)"
            " WHERE state IN ('ASKING', 'RELEASING') AND ask_due_at IS NULL"
        ),
        # Points used to be had for the asking: these were given, and not bought.
        _run(
            "UPDATE ledger SET kind = 'grant', note = 'charged when no card was asked' WHERE kind = 'charge'"
        ),
        _run(
            "ALTER TABLE payments ADD CONSTRAINT payments_waiting_are_looked_at"
            " CHECK (state NOT IN ('ASKING', 'RELEASING') OR ask_due_at IS NOT NULL)",
            "ALTER TABLE payments DROP CONSTRAINT payments_waiting_are_looked_at",
        ),
        _run(
            "ALTER TABLE payments ADD CONSTRAINT payments_refund_no_more_than_paid"
            " CHECK (refunded BETWEEN 0 AND COALESCE(amount, 0) AND released BETWEEN 0 AND refunded)",
            "ALTER TABLE payments DROP CONSTRAINT payments_refund_no_more_than_paid",
        ),
        ops.DeleteModel(name="IdempotencyKey"),
    ]
