"""Letters about accounts, and the one-time tokens in them."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


def _moment(*, null: bool = False, description: str | None = None) -> fields.DatetimeField:
    return fields.DatetimeField(null=null, description=description, auto_now=False, auto_now_add=False)


class Migration(migrations.Migration):
    dependencies = [("user", "0007_known_clients")]

    operations = [
        ops.CreateModel(
            name="Mailing",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("kind", fields.CharField(description="See `domain.MailingKind`", max_length=10)),
                ("email", fields.CharField(description="To whom; empty once it is done", max_length=254)),
                ("address_hash", fields.CharField(max_length=64)),
                (
                    "client",
                    fields.CharField(description="The address that it was asked for from", max_length=64),
                ),
                (
                    "user_id",
                    fields.BigIntField(null=True, description="Whose new address, or old one, it is"),
                ),
                (
                    "due_at",
                    _moment(null=True, description="The next try; none once it is done or given up"),
                ),
                ("attempts", fields.IntField(default=0)),
                ("created_at", _moment()),
            ],
            options={
                "table": "mailings",
                "app": "user",
                "indexes": [
                    Index(fields=["due_at"]),
                    Index(fields=["address_hash", "created_at"]),
                    Index(fields=["client", "created_at"]),
                    Index(fields=["created_at"]),
                    Index(fields=["user_id"]),
                ],
                "pk_attr": "id",
                "table_description": "A letter about an account that somebody asked for, with a one-time token or without.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="MailedToken",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True,
                        unique=True,
                        db_index=True,
                        description="SHA-256 of the token",
                        max_length=64,
                    ),
                ),
                ("user_id", fields.BigIntField()),
                ("kind", fields.CharField(max_length=10)),
                ("email", fields.CharField(description="The address that it was sent to", max_length=254)),
                ("expires_at", _moment()),
            ],
            options={
                "table": "mailed_tokens",
                "app": "user",
                "indexes": [Index(fields=["user_id"]), Index(fields=["expires_at"])],
                "pk_attr": "id",
                "table_description": "A one-time token that was mailed; of the token itself only a hash is kept.",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="User",
            name="email_proven_at",
            field=_moment(null=True, description="When its owner was last seen to read it"),
        ),
    ]
