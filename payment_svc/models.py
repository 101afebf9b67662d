"""The tables of the payment service."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


class Account(Model):
    """A user's points: the sum of the account's ledger. CLOSED is for good: that registration has failed."""

    user_id = fields.BigIntField(primary_key=True, generated=False)
    balance = fields.BigIntField()
    state = fields.CharField(max_length=8, description="OPEN or CLOSED")
    opened_at = fields.DatetimeField()

    class Meta:
        table = "accounts"


class LedgerRow(Model):
    """One change of an account's balance; never changed or deleted."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.BigIntField()
    delta = fields.BigIntField()
    balance = fields.BigIntField(description="Right after this change")
    kind = fields.CharField(max_length=16, description="opening, charge, capture or refund")
    order_id = fields.CharField(max_length=36, null=True)
    payment_id = fields.CharField(max_length=36, null=True)
    charge_key = fields.CharField(
        max_length=64, null=True, description="Hash of a charge's idempotency key: keys differ in case, too"
    )
    at = fields.DatetimeField()

    class Meta:
        table = "ledger"
        unique_together = (("user_id", "charge_key"),)
        indexes = (Index(fields=("user_id", "id")),)


class PaymentRow(Model):
    """A payment of an order, or what was said instead (see `domain.Payment`). Never deleted."""

    payment_id = fields.CharField(max_length=36, primary_key=True)
    order_id = fields.CharField(max_length=36)
    attempt = fields.IntField(description="0: part of placing the order; 1 and more: paid later")
    state = fields.CharField(max_length=9)
    user_id = fields.BigIntField(null=True, description="Null in the tombstone of an order never heard of")
    method = fields.CharField(max_length=16, null=True)
    amount = fields.BigIntField(null=True, description="What was or may have been taken")
    reason = fields.CharField(max_length=64, null=True)
    details = fields.TextField(description="Of the reason, JSON")
    card_key = fields.CharField(max_length=200, null=True, description="Names the card to the PG")
    asks = fields.IntField(default=0, description="How often the PG was asked about it")
    asked_at = fields.DatetimeField(null=True, description="When the PG was last asked to charge it")
    ask_due_at = fields.DatetimeField(null=True, description="When to ask the PG; null if not to")
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "payments"
        # Two payments of one order at once: one wins.
        unique_together = (("order_id", "attempt"),)
        indexes = (Index(fields=("ask_due_at",)),)


class IdempotencyKey(Model):
    """A payer's key for paying once, whatever the network does."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.BigIntField()
    idempotency_key = fields.CharField(max_length=64, description="Its hash: keys differ in case, too")
    wish = fields.CharField(max_length=64, description="Hash of what was to be paid, and how")
    payment_id = fields.CharField(max_length=36)
    created_at = fields.DatetimeField()

    class Meta:
        table = "idempotency_keys"
        unique_together = (("user_id", "idempotency_key"),)
