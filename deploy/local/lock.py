"""One command at a time changes a run folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.errors import FleetError
from deploy.local.layout import Layout


@contextmanager
def exclusive(at: Layout) -> Iterator[None]:
    """Wait for the other command, saying so. The kernel frees the lock of a command that was killed."""
    descriptor = _lock(at)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(at: Layout) -> int:
    """A reset may have deleted the file while we waited: then ours is on a file that nobody finds."""
    path = at.run_dir / "lock"
    while True:
        try:
            at.run_dir.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FleetError(f"{at.run_dir} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another command that works in {at.run_dir}", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)
