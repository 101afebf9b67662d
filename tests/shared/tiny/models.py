"""The one table of the tiny service."""

from tortoise import fields
from tortoise.models import Model


class Mark(Model):
    """Something that has happened, written down once for each time it did."""

    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(max_length=100)
    text = fields.CharField(max_length=200, default="")
    unique_key = fields.CharField(max_length=100, null=True, unique=True)
    at = fields.DatetimeField(null=True)

    class Meta:
        table = "marks"
        indexes = (("key",),)
