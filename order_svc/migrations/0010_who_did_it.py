"""Which user changed an order, where a person did."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("order", "0009_state_of_a_participant")]

    operations = [
        ops.AddField(
            model_name="OrderHistory",
            name="by",
            field=fields.BigIntField(
                null=True, source_field="by_user", description="Who did it, if a person did"
            ),
        ),
    ]
