"""The keys of calls over HTTP: a private one per service and one for the operator, and all public ones."""

from collections.abc import Sequence
from pathlib import Path

from deploy.secrets import keep
from deploy.services import Service
from shared.broker.identity import named
from shared.rpc.callers import OPERATOR
from shared.rpc.credentials import new_key, public_part

PUBLIC = "call-keys"
"""The file with everybody's public keys, for every service."""


def private(name: str) -> str:
    """The name of the file with the private key of a caller, such as `item-svc`."""
    return f"call-key-{name}"


def make_call_keys(folder: Path, services: Sequence[Service]) -> None:
    """Make what is missing, and list the public halves; who has a key keeps it."""
    names = [*(named(service.name) for service in services if not service.outside), OPERATOR]
    missing = [name for name in names if not (folder / private(name)).exists()]
    for name in missing:
        keep(folder, private(name), new_key(name), replace=False)
    if missing or not _lists(folder, names):
        texts = [(folder / private(name)).read_text(encoding="utf-8") for name in names]
        keep(folder, PUBLIC, " ".join(map(public_part, texts)))


def _lists(folder: Path, names: Sequence[str]) -> bool:
    try:
        words = (folder / PUBLIC).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False
    return {word.partition("=")[0] for word in words} >= set(names)
