"""Tables of the dead letters and of what operators do."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


class WatchedQueue(Model):
    """A queue whose dead letters are taken in, remembered for when the service that owns it is down."""

    queue = fields.CharField(max_length=200, primary_key=True)
    service = fields.CharField(max_length=50)
    handler = fields.CharField(max_length=200)
    heard = fields.CharField(max_length=100)
    seen_at = fields.DatetimeField(description="When it was first seen")

    class Meta:
        table = "watched_queues"


class DeadLetter(Model):
    """A message that a queue gave up on, with all that is needed to send it back there."""

    id = fields.BigIntField(primary_key=True)
    identity = fields.CharField(
        max_length=64, unique=True, description="A digest by which its second arrival is recognised"
    )
    group_key = fields.CharField(max_length=16, description="A digest of queue and exception")
    state = fields.CharField(max_length=10)
    queue = fields.CharField(max_length=200)
    event = fields.CharField(max_length=255, null=True)
    event_id = fields.CharField(max_length=255, null=True)
    correlation_id = fields.CharField(max_length=255, null=True)
    exception = fields.CharField(max_length=100)
    message = fields.CharField(max_length=1000)
    attempts = fields.IntField()
    failed_redrives = fields.IntField()
    failed_at = fields.DatetimeField(null=True)
    seen_at = fields.DatetimeField()
    changed_at = fields.DatetimeField()
    action_id = fields.BigIntField(null=True, description="What an operator did about it last")
    problem = fields.CharField(max_length=500, null=True)
    send_at = fields.DatetimeField(null=True, description="From when on a process may send it back")
    encoding = fields.CharField(max_length=6, description="text, or base64 for a body that is no UTF-8")
    body = fields.TextField()
    headers = fields.TextField()
    properties = fields.TextField()

    class Meta:
        table = "dead_letters"
        indexes = (
            Index(fields=("group_key", "state", "id")),
            Index(fields=("state", "id")),
            Index(fields=("queue", "state", "id")),
            Index(fields=("correlation_id", "id")),
            Index(fields=("send_at",)),
            Index(fields=("action_id",)),
        )


class OperatorAction(Model):
    """Something that an operator did: who, when, what, to what, and why."""

    id = fields.BigIntField(primary_key=True)
    request_id = fields.UUIDField(unique=True)
    at = fields.DatetimeField()
    by_user = fields.BigIntField()
    action = fields.CharField(max_length=40)
    target = fields.CharField(max_length=200)
    affected = fields.IntField()
    unaffected = fields.IntField()
    reason = fields.CharField(max_length=500, null=True)
    details = fields.TextField(null=True, description="JSON: what was changed, before and after")

    class Meta:
        table = "operator_actions"
        indexes = (
            Index(fields=("by_user", "id")),
            Index(fields=("target", "id")),
            Index(fields=("at", "id")),
        )


class LetterAction(Model):
    """Which letters an action concerned."""

    id = fields.BigIntField(primary_key=True)
    letter_id = fields.BigIntField()
    action_id = fields.BigIntField()

    class Meta:
        table = "letter_actions"
        unique_together = (("letter_id", "action_id"),)
