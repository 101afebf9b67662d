"""`python -m tests.support.migrate_killed PACKAGE STATEMENT`: migrations whose process is killed on its way.

It happens when so many statements have been done by this process, before the last one is noted.
"""

import asyncio
import os
import signal
import sys

from shared import migrate
from shared.migration_steps import Steps


def main(package: str, statement: str) -> None:
    """Apply the migrations of a service, and die."""
    do, done = Steps._ask_script, 0

    async def do_and_die(self: Steps, sql: str) -> None:
        nonlocal done
        await do(self, sql)
        done += 1
        if done == int(statement):
            print(f"killed after {statement}: {sql}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    Steps._ask_script = do_and_die
    asyncio.run(migrate.apply(package))


if __name__ == "__main__":
    main(*sys.argv[1:])
