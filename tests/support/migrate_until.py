"""`python -m tests.support.migrate_until PACKAGE APP MIGRATION`: the database as it was after that migration.

A program of its own, as `shared.migrate` is one.
"""

import asyncio
import sys

from tortoise.migrations.executor import MigrationTarget

from shared import migrate


def main(package: str, app: str, last: str) -> None:
    """Apply the migrations of a service up to and with `last`, and all of the platform's."""

    def target(app_label: str, name: str) -> MigrationTarget:
        return MigrationTarget(app_label=app_label, name=last if app_label == app else name)

    migrate.MigrationTarget = target  # type: ignore[assignment]
    asyncio.run(migrate.apply(package))


if __name__ == "__main__":
    main(*sys.argv[1:])
