"""Secrets that a run makes for itself at random: one file each, which its owner alone may read."""

import contextlib
import os
import re
import secrets
import tempfile
from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_BYTES = 24
"""192 bits, as 32 letters, digits, `-` and `_`: nothing that a URL or a file would have to quote."""


def secret(folder: Path, name: str) -> str:
    """The secret of that name, made at first use; whoever asks again, from any process, gets the same one.

    The file `folder/name` (mode 600, in a folder of mode 700) is complete from the moment it exists: two
    processes that ask at once must not be given two passwords. Raises ValueError for a name that is no
    file name of lower-case letters, digits, `_`, `.` and `-`.
    """
    path = _path(folder, name)
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    keep(folder, name, secrets.token_urlsafe(_BYTES), replace=False)
    return path.read_text(encoding="utf-8")


def keep(folder: Path, name: str, text: str, *, replace: bool = True) -> None:
    """Write a secret that is not a password (a key, say); without `replace`, the one that is there stays."""
    path = _path(folder, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=folder, prefix=".")  # made with mode 600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if replace:
        os.replace(unfinished, path)
        return
    with contextlib.suppress(FileExistsError):
        os.link(unfinished, path)
    os.unlink(unfinished)


def _path(folder: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a secret: lower-case letters, digits, `_`, `.` and `-`")
    return folder / name
