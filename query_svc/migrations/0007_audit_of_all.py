"""The audit log holds what was changed, and is found by who did it, to what, and when."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("query", "0006_no_payment_keys")]

    operations = [
        ops.AddField(
            model_name="OperatorAction",
            name="details",
            field=fields.TextField(
                null=True, description="JSON: what was changed, before and after", unique=False
            ),
        ),
        ops.AddIndex(model_name="OperatorAction", index=Index(fields=["by_user", "id"])),
        ops.AddIndex(model_name="OperatorAction", index=Index(fields=["target", "id"])),
        ops.AddIndex(model_name="OperatorAction", index=Index(fields=["at", "id"])),
    ]
