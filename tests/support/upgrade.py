"""A database as it was before some migrations, brought up to date again as `up` does it."""

import os
from collections.abc import Sequence

from deploy.local.layout import layout
from shared.database.units import Database
from tests.support.databases import migrate


async def repeat_migrations(database: Database, package: str, names: Sequence[str]) -> None:
    """Have migrations that leave the tables' shape alone run once more, as after a process died in them."""
    await database.execute("DELETE FROM tortoise_migrations WHERE name IN %s", [list(names)])
    [(schema,)] = await database.read(lambda reader: reader.rows("SELECT DATABASE()"))
    await migrate(package, f"{layout(os.environ).admin_url.rstrip('/')}/{schema}", seed=False)
