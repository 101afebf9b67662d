"""Refunds in part: those of an order, and what they take from the sales of an hour."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("query", "0004_rankings_as_read")]

    operations = [
        ops.AddField(
            model_name="OrderView",
            name="parts",
            field=fields.TextField(
                null=True, description="JSON: refunds in part of its payments", unique=False
            ),
        ),
        ops.AddField(
            model_name="SalesHour",
            name="refunded",
            field=fields.DecimalField(default=0, max_digits=38, decimal_places=0),
        ),
    ]
