"""The tables of the greet service."""

from tortoise import fields
from tortoise.models import Model

from greet_svc.domain import MAX_NAME


class Greeted(Model):
    """How often somebody has been greeted, and when for the last time."""

    name = fields.CharField(max_length=MAX_NAME, primary_key=True)
    times = fields.IntField()
    last_at = fields.DatetimeField()

    class Meta:
        table = "greeted"
