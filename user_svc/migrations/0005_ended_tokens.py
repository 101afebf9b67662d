"""Access tokens end before their time; sign-ins can be listed, and a used refresh token has one successor."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


def _later(name: str, description: str | None) -> ops.AddField:
    moment = fields.DatetimeField(null=True, description=description, auto_now=False, auto_now_add=False)
    return ops.AddField(model_name="SignInSession", name=name, field=moment)


class Migration(migrations.Migration):
    dependencies = [("user", "0004_waiting_is_due")]

    # The database itself knows the defaults: services of before write no such columns.
    operations = [
        ops.CreateModel(
            name="EndedTokens",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("session_id", fields.CharField(null=True, max_length=36)),
                ("below", fields.IntField(default=0)),
                ("ended_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "ended_tokens",
                "app": "user",
                "indexes": [Index(fields=["ended_at"])],
                "pk_attr": "id",
                "table_description": "Access tokens that do not count any more, until they would have expired anyway.",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="User",
            name="generation",
            field=fields.IntField(
                default=0, description="Access tokens of an earlier one do not count any more"
            ),
        ),
        ops.RunSQL("ALTER TABLE `users` ALTER COLUMN `generation` SET DEFAULT 0", ops.RunSQL.noop),
        _later("rotated_at", "When the previous one was used"),
        _later("used_at", "When it was last renewed"),
        ops.AddField(
            model_name="SignInSession",
            name="successor_salt",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddField(
            model_name="SignInSession",
            name="client",
            field=fields.CharField(
                default="", description="The address that it was begun from", max_length=64
            ),
        ),
        ops.RunSQL("ALTER TABLE `sessions` ALTER COLUMN `client` SET DEFAULT ''", ops.RunSQL.noop),
    ]
