"""A second database server beside the suite's, for tests that change or stop one of two."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import database
from deploy.local.layout import Layout, layout
from tests.support.ports import reserve_base


@contextmanager
def second_database(at: Layout, run_dir: Path) -> Iterator[Layout]:
    """A server run by the same program as that of `at`, which a test may do anything to; empty at first."""
    environ = {"SHOP_PORT_BASE": str(reserve_base()), "SHOP_RUN_DIR": str(run_dir)}
    if at.database_program:
        environ["SHOP_MYSQLD"] = at.database_program
    second = layout(environ)
    program = database.prepare(second)
    with (run_dir / "log").open("w") as log:
        process = subprocess.Popen(program.command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not database.is_ready(second):
            assert process.poll() is None, (run_dir / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield second
    finally:
        process.terminate()
        process.wait(60)
