"""Users have several roles. The single one stays: it finds the admins, and older processes still read it."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from shared.database.altering import bytewise

ROLE = "admin if that is among the roles, else customer: what finds and holds the admins"


class Migration(migrations.Migration):
    dependencies = [("user", "0005_ended_tokens")]

    operations = [
        ops.AddField(
            model_name="User",
            name="roles",
            field=fields.CharField(default="customer", description="All roles, by comma", max_length=100),
        ),
        bytewise("users", roles="VARCHAR(100) NOT NULL DEFAULT 'customer' COMMENT 'All roles, by comma'"),
        ops.RunSQL("UPDATE `users` SET `roles` = `role`", ops.RunSQL.noop),
        ops.AlterField(
            model_name="User",
            name="role",
            field=fields.CharField(default="customer", description=ROLE, max_length=16),
        ),
        ops.AddIndex(model_name="User", index=Index(fields=["role"])),
    ]
