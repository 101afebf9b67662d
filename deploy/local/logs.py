"""Shows the logs of a local run, and goes on showing them."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deploy.local.errors import FleetError
from deploy.local.layout import Layout

_LAST_BYTES = 1_000_000


@dataclass(slots=True)
class _Tail:
    """One file being followed; `rest` is the beginning of a line whose end has not come yet."""

    name: str
    path: Path
    file: BinaryIO
    rest: bytes = b""

    def new_lines(self) -> Iterator[str]:
        """Whole lines since the last time. A file that was rotated away is read to its end first."""
        yield from self._split(self.file.read())
        try:
            moved = self.path.stat().st_ino != _inode(self.file)
        except FileNotFoundError:
            return
        if moved:
            self.file.close()
            self.file = self.path.open("rb")
            self.rest = b""
            yield from self._split(self.file.read())

    def _split(self, data: bytes) -> Iterator[str]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", errors="replace")


def files(at: Layout, name: str) -> dict[str, Path]:
    """The logs of a service (`order`: every replica), of one replica (`order-2`), of broker or database"""
    present = {path.stem: path for path in sorted(at.logs.glob("*.log"))}
    found = {
        stem: path
        for stem, path in present.items()
        if stem == name or (stem.rpartition("-")[0] == name and stem.rpartition("-")[2].isdigit())
    }
    if not found:
        raise FleetError(f"there is no log of {name!r}; there are: {', '.join(present) or 'none'}")
    return found


def show(at: Layout, name: str, *, lines: int, follow: bool) -> None:
    """Print the last lines and, with `follow`, what comes, until interrupted."""
    chosen = files(at, name)
    width = max(map(len, chosen)) if len(chosen) > 1 else 0
    pretty = sys.stdout.isatty()
    tails: list[_Tail] = []
    try:
        for stem, path in chosen.items():
            file = path.open("rb")
            tails.append(tail := _Tail(stem, path, file))
            file.seek(max(0, path.stat().st_size - _LAST_BYTES))
            for line in list(tail.new_lines())[-lines:] if lines > 0 else []:
                _print(stem, line, width, pretty)
        while follow:
            for tail in tails:
                for line in tail.new_lines():
                    _print(tail.name, line, width, pretty)
            sys.stdout.flush()
            time.sleep(0.2)
    finally:
        for tail in tails:
            tail.file.close()


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _print(name: str, line: str, width: int, pretty: bool) -> None:
    prefix = f"{name:<{width}} | " if width else ""
    print(prefix + (_for_people(line) if pretty else line))


def _for_people(line: str) -> str:
    """A JSON line as `time level event key=value ...`; any other line as it is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict):
        return line
    moment = str(entry.pop("timestamp", entry.pop("@timestamp", "")))[11:23]
    level = str(entry.pop("level", entry.pop("log.level", "")))
    event = str(entry.pop("event", entry.pop("message", "")))
    trace = entry.pop("exception", None)
    rest = " ".join(f"{key}={value}" for key, value in entry.items())
    return f"{moment} {level:<8} {event} {rest}".rstrip() + (f"\n{trace}" if trace else "")
