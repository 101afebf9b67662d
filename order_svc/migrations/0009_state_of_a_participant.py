"""Where a participant stands is called its state, as everywhere else."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State

CHECK = "a_releasing_participant_is_due"


class _RemoveCheck(ops.RemoveConstraint):
    """Tortoise writes DROP CHECK, which MariaDB does not know; every server knows DROP CONSTRAINT."""

    async def database_forward(
        self,
        app_label: str,
        old_state: State,
        new_state: State,
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        if state_editor is not None:
            await state_editor.client.execute_script(f"ALTER TABLE `participants` DROP CONSTRAINT `{CHECK}`")


class Migration(migrations.Migration):
    dependencies = [("order", "0008_no_payment_keys")]

    # The constraint names the column: it goes before the column is renamed, and comes back after.
    operations = [
        _RemoveCheck(model_name="Participant", name=CHECK),
        ops.RenameField(model_name="Participant", old_name="stand", new_name="state"),
        ops.AddConstraint(
            model_name="Participant",
            constraint=CheckConstraint(
                name=CHECK, check="`state` <> 'RELEASING' OR `release_due_at` IS NOT NULL"
            ),
        ),
    ]
