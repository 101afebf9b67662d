from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Mark",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("key", fields.CharField(max_length=100)),
                ("text", fields.CharField(default="", max_length=200)),
                ("unique_key", fields.CharField(null=True, unique=True, max_length=100)),
                ("at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "marks",
                "app": "tiny",
                "indexes": [Index(fields=["key"])],
                "pk_attr": "id",
                "table_description": "Something that has happened, written down once for each time it did.",
            },
            bases=["Model"],
        ),
    ]
