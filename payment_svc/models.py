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
    kind = fields.CharField(max_length=16, description="See `contracts.LedgerKind`")
    order_id = fields.CharField(max_length=36, null=True)
    payment_id = fields.CharField(max_length=36, null=True, description="Its cause; null: opening or grant")
    grant_id = fields.CharField(
        max_length=36, null=True, unique=True, description="Of a grant: the same one is made once"
    )
    note = fields.CharField(max_length=200, null=True, description="Of a grant: why it was made")
    at = fields.DatetimeField()

    class Meta:
        table = "ledger"
        indexes = (Index(fields=("user_id", "id")),)


class PaymentRow(Model):
    """A payment, or what was said to an order instead (see `domain.Payment`). Never deleted."""

    payment_id = fields.CharField(max_length=36, primary_key=True, description="Our order number at the PG")
    order_id = fields.CharField(max_length=36, null=True, description="Null where points are bought")
    attempt = fields.IntField(description="0: part of placing the order; 1 and more: paid later")
    state = fields.CharField(max_length=16)
    user_id = fields.BigIntField(null=True, description="Null in the tombstone of an order never heard of")
    method = fields.CharField(max_length=16, null=True)
    amount = fields.BigIntField(null=True, description="What was or may have been taken")
    refunded = fields.BigIntField(default=0, description="What has been given back of it, in all")
    released = fields.BigIntField(default=0, description="The part of `refunded` that its release gave back")
    refunding = fields.BigIntField(default=0, description="What the PG was asked to give back in part")
    refund_id = fields.CharField(max_length=36, null=True, description="Of the refund in part asked for last")
    reason = fields.CharField(max_length=64, null=True)
    details = fields.TextField(description="Of the reason, JSON")
    resolved = fields.CharField(max_length=12, null=True, description="How a person closed it, if one did")
    card_key = fields.CharField(
        max_length=200, null=True, unique=True, description="Names the card to the PG; pays once"
    )
    asks = fields.IntField(default=0, description="How often the PG was asked since it stands so")
    asked_at = fields.DatetimeField(null=True, description="When the PG was last asked to charge it")
    looked_at = fields.DatetimeField(null=True, description="When the PG was last asked anything about it")
    ask_due_at = fields.DatetimeField(null=True, description="When to ask the PG; null if not to")
    created_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()

    class Meta:
        table = "payments"
        # Two payments of one order at once: one wins.
        unique_together = (("order_id", "attempt"),)
        indexes = (Index(fields=("ask_due_at",)), Index(fields=("state", "payment_id")))


class IntentRow(Model):
    """The number of a payment before there is one: whose, of how much, until when, and the key it pays with.

    Purged a week after its end.
    """

    payment_id = fields.CharField(max_length=36, primary_key=True)
    user_id = fields.BigIntField()
    order_id = fields.CharField(max_length=36, null=True, description="The order that it was made to pay for")
    amount = fields.BigIntField(null=True, description="Null for a number made together with its key")
    card_key = fields.CharField(max_length=200, null=True, description="What the buyer brought for it")
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True, description="When a payment took it")

    class Meta:
        table = "payment_intents"
        indexes = (Index(fields=("expires_at",)),)


class NoticePace(Model):
    """One row: when the next notice of the PG may have it asked a question, so that a flood asks few."""

    id = fields.IntField(primary_key=True, generated=False)
    next_at = fields.DatetimeField()

    class Meta:
        table = "notice_pace"


class AuditRow(Model):
    """What a person of the shop did about money; never changed or deleted."""

    id = fields.BigIntField(primary_key=True)
    at = fields.DatetimeField()
    actor_id = fields.BigIntField(description="The admin who did it")
    action = fields.CharField(max_length=32)
    subject = fields.CharField(max_length=36, description="A payment's or a user's id")
    details = fields.TextField(description="JSON")

    class Meta:
        table = "audit_log"
        indexes = (Index(fields=("subject", "id")),)
