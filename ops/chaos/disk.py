"""A small disk for a database, in memory, that can be full; only where we may mount one."""

import os
import shutil
import subprocess
from pathlib import Path

SIZE_MB = 1024
_FILLER = "filler"


class Disk:
    """A tmpfs behind `folder`, the place where a private database keeps its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted = folder.with_name(f"{folder.name}-disk")

    def mount(self) -> str | None:
        """Mount it; returns why that is not possible, None if it is done."""
        if os.uname().sysname != "Linux" or os.geteuid() != 0:
            return "only root may mount a tmpfs"
        self.unmount()  # what a run that was killed has left
        self._mounted.mkdir(parents=True, exist_ok=True)
        refusal = _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "sagamart-chaos", str(self._mounted))
        if refusal is None:
            self._folder.symlink_to(self._mounted)
        return refusal

    def unmount(self) -> None:
        """Take it away, with all data on it."""
        if self._mounted.is_mount():
            # Lazily: a server that is just ending may still have a file open.
            _run("umount", "-l", str(self._mounted))
        if self._folder.is_symlink():
            self._folder.unlink()
        if self._mounted.is_dir():
            self._mounted.rmdir()

    def fill(self) -> None:
        """Leave no byte free."""
        with (self._mounted / _FILLER).open("wb", buffering=0) as file:
            free = shutil.disk_usage(self._mounted).free
            try:
                os.posix_fallocate(file.fileno(), 0, free)
            except OSError:  # somebody wrote meanwhile, and so there was less
                _fill_up(file.fileno())

    def free(self) -> None:
        """Give the space back."""
        (self._mounted / _FILLER).unlink(missing_ok=True)


def _fill_up(descriptor: int) -> None:
    piece = b"\0" * 1_000_000
    while piece:
        try:
            os.write(descriptor, piece)
        except OSError:
            piece = piece[: len(piece) // 2]


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} failed")
