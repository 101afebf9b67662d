"""From where users have signed in is kept: for when their accounts are tried from everywhere."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("user", "0006_roles")]

    operations = [
        ops.CreateModel(
            name="KnownClient",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("user_id", fields.BigIntField()),
                ("last_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "known_clients",
                "app": "user",
                "indexes": [Index(fields=["last_at"]), Index(fields=["user_id"])],
                "pk_attr": "id",
                "table_description": "A client from which a user has signed in; the key is a hash of both, of IPv6 by its /64.",
            },
            bases=["Model"],
        ),
        ops.AlterModelOptions(
            name="SignInFailures",
            options={
                "table": "sign_in_failures",
                "app": "user",
                "indexes": [Index(fields=["last_at"])],
                "pk_attr": "id",
                "table_description": "Failed sign-ins of one account from one client, of either from all; the key is a hash of them.",
            },
        ),
    ]
