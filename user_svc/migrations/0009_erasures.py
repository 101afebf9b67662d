"""Accounts that were deleted by their owners."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("user", "0008_letters")]

    operations = [
        ops.CreateModel(
            name="Erasure",
            fields=[
                ("user_id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("asked_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "again_at",
                    fields.DatetimeField(
                        null=True,
                        description="When it is told a second time; none once it was",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
            ],
            options={
                "table": "erasures",
                "app": "user",
                "indexes": [Index(fields=["again_at"])],
                "pk_attr": "user_id",
                "table_description": "An account that its owner has deleted, and when.",
            },
            bases=["Model"],
        ),
    ]
