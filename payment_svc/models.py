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


class ClaimRow(Model):
    """What was said to an order as its participant: HELD, REJECTED or RELEASED. Never deleted."""

    order_id = fields.CharField(max_length=36, primary_key=True)
    payment_id = fields.CharField(max_length=36, unique=True)
    state = fields.CharField(max_length=8)
    user_id = fields.BigIntField(null=True, description="Null in the tombstone of an order never heard of")
    method = fields.CharField(max_length=16, null=True)
    amount = fields.BigIntField(null=True, description="What was taken")
    reason = fields.CharField(max_length=64, null=True)
    details = fields.TextField(description="Of the reason, JSON")
    decided_at = fields.DatetimeField()
    released_at = fields.DatetimeField(null=True)

    class Meta:
        table = "claims"
