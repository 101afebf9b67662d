"""A file of JSON lines, one a change, that is read again at the next start."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

E = TypeVar("E", bound=msgspec.Struct)


class DamagedJournal(SystemExit):
    """A journal that cannot be read; the message says where it is broken and what to do."""


class Journal(Generic[E]):
    """Appends entries; each is in the operating system's hands, safe from a kill, before `append` returns."""

    def __init__(self, path: Path, decode: Callable[[bytes], E]) -> None:
        self._path = path
        self._decode = decode
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(_without_torn_line(path))

    def read(self) -> Iterator[E]:
        """Every entry so far. Raises `DamagedJournal` at one that is none."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield self._decode(line)
                except msgspec.DecodeError as error:
                    raise DamagedJournal(
                        f"{self._path}, line {number} is no entry of the payment gateway's journal: {error}. "
                        f"Without that file the gateway starts with nothing: mv {self._path} {self._path}.old"
                    ) from error

    def append(self, entry: E) -> None:
        """Write one more. Raises `OSError`, with nothing written, when the disk does not take it."""
        line = msgspec.json.encode(entry) + b"\n"
        with self._path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(f"{self._path} takes no more: the disk is full")
            except OSError:
                file.truncate(end)  # half a line would swallow the next one
                raise


def _without_torn_line(path: Path) -> int:
    """How long the file is without a last line that a kill tore: that was never answered for."""
    with path.open("rb") as file:
        end = 0
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
        return end
