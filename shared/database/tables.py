"""The platform's own tables, the same in every service's database."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


class OutboxMessage(Model):
    """A message that was committed but is not known to be with the broker yet; deleted once it is.

    Holds only what waits, so that polling it costs the same on an old system as on a new one.
    """

    id = fields.CharField(max_length=36, primary_key=True)
    type = fields.CharField(max_length=100)
    count = fields.IntField(description="How many events the body holds")
    subjects = fields.TextField(description="What the events are about, separated by spaces")
    correlation_id = fields.CharField(max_length=100, null=True)
    body = fields.TextField(description="A CloudEvents batch, as it goes on the wire")
    created_at = fields.DatetimeField()
    available_at = fields.DatetimeField(description="From when on a scheduler may claim it")
    attempts = fields.IntField(default=0)
    parked_at = fields.DatetimeField(null=True, description="Since when it waits for a person")
    problem = fields.CharField(max_length=500, null=True, description="Why it could not be sent")

    class Meta:
        table = "outbox"
        indexes = (Index(fields=("available_at", "id")), Index(fields=("type",)))


class InboxEntry(Model):
    """An event that a consumer has taken in, so that its second arrival changes nothing."""

    id = fields.BigIntField(primary_key=True)
    consumer = fields.CharField(max_length=150)
    event_id = fields.CharField(max_length=64)
    received_at = fields.DatetimeField()

    class Meta:
        table = "inbox"
        unique_together = (("consumer", "event_id"),)
        indexes = (Index(fields=("received_at",)),)


class Suspect(Model):
    """An event whose handling was begun, and may kill the process; see `shared/events/suspects.py`."""

    id = fields.CharField(max_length=64, primary_key=True, description="Hash of the queue and the event")
    begun = fields.IntField(description="How often; what ends, however it ends, is taken out")
    begun_at = fields.DatetimeField()

    class Meta:
        table = "suspects"
        indexes = (Index(fields=("begun_at",)),)


class KeptAnswer(Model):
    """The first answer of a call that had an idempotency key; see `shared/database/idempotency.py`."""

    id = fields.CharField(max_length=64, primary_key=True, description="Hash of owner, route, call and key")
    owner = fields.BigIntField(description="The user whose key it was")
    call = fields.CharField(max_length=100)
    fingerprint = fields.CharField(
        max_length=64, description="Hash of what was asked for; empty where that is not known"
    )
    answer = fields.TextField(null=True, description="JSON; null while the call is running")
    work = fields.CharField(max_length=200, null=True, description="What was begun, for who carries it on")
    running_until = fields.DatetimeField(description="From when on a call without an answer is abandoned")
    created_at = fields.DatetimeField()

    class Meta:
        table = "kept_answers"
        indexes = (Index(fields=("created_at",)),)
