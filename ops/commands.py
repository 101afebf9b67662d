"""What the commands share: their arguments, their JSON files, and the shop they speak to."""

import argparse
import os
import sys
from pathlib import Path

import msgspec
from rich.console import Console

ADMIN_EMAIL = "admin@sagamart.local"


def admin_password() -> str:
    """The seeded admin's password: SHOP_ADMIN_PASSWORD, or the default of a local run."""
    return os.environ.get("SHOP_ADMIN_PASSWORD") or "sagamart-admin"


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json FILE`, refused at once where FILE cannot be written rather than after minutes of work."""
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the results there as JSON, too")


def write_json(path: Path | None, document: object) -> None:
    """Write a result for programs; nothing without a path."""
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def wide_console() -> Console:
    """A console whose tables keep their columns where the output goes to a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 180)


def at_least(least: int, text: str) -> int:
    """A whole number for argparse; `least` is the smallest that makes sense."""
    try:
        number = int(text) if text.isascii() and len(text) <= 18 else None
    except ValueError:
        number = None
    if number is None or number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more, not {text!r}")
    return number


def writable(text: str) -> Path:
    """A file for argparse, refused at once where it cannot be written."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a directory")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path
