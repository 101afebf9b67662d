"""The tables of the user service."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="SignInFailures",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("count", fields.IntField()),
                ("last_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "sign_in_failures",
                "app": "user",
                "indexes": [Index(fields=["last_at"])],
                "pk_attr": "id",
                "table_description": "Failed sign-ins in a row, of one account from one address; the key is a hash of both.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SignInSession",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                ("user_id", fields.BigIntField()),
                ("secret_hash", fields.CharField(max_length=64)),
                ("previous_hash", fields.CharField(null=True, max_length=64)),
                (
                    "rotated_by",
                    fields.CharField(
                        null=True, description="The request that used the previous one", max_length=36
                    ),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "sessions",
                "app": "user",
                "indexes": [Index(fields=["expires_at"])],
                "pk_attr": "id",
                "table_description": "A sign-in, alive until it is ended or not renewed in time. It holds hashes of refresh tokens.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SigningKey",
            fields=[
                ("kid", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=36)),
                (
                    "generation",
                    fields.IntField(
                        unique=True, description="1, 2, ...: two replicas cannot both make the next"
                    ),
                ),
                ("private_key", fields.TextField(description="PKCS #8, PEM", unique=False)),
                ("public_key", fields.CharField(description="The x of its JSON Web Key", max_length=64)),
                ("signs_from", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("ends_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "signing_keys",
                "app": "user",
                "pk_attr": "kid",
                "table_description": "A key pair for access tokens. The newest that has begun signs; all that have not ended are valid.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "request_id",
                    fields.CharField(
                        null=True, unique=True, description="The sign-up that made this user", max_length=36
                    ),
                ),
                ("email", fields.CharField(description="As its owner writes it", max_length=254)),
                ("email_key", fields.CharField(unique=True, description="As it is compared", max_length=254)),
                ("name", fields.CharField(max_length=100)),
                ("address", fields.CharField(max_length=300)),
                ("password_hash", fields.CharField(max_length=255)),
                (
                    "role",
                    fields.CharField(default="customer", description="customer or admin", max_length=16),
                ),
                ("state", fields.CharField(description="OPENING or ACTIVE", max_length=16)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "users",
                "app": "user",
                "indexes": [Index(fields=["state", "created_at"])],
                "pk_attr": "id",
                "table_description": "A user. While `state` is OPENING the point account may not exist yet, and nobody can sign in.",
            },
            bases=["Model"],
        ),
    ]
