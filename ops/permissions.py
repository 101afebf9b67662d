"""`python -m ops.permissions`: what each user of the broker may do there, and who may make which calls.

Both are what the services' code says; no broker is asked.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence

import msgspec
from rich.table import Table

from deploy import broker_users
from deploy.local.errors import FleetError
from deploy.local.fleet import current_layout
from deploy.services import ROOT, Service
from ops.commands import wide_console
from shared.broker.identity import named
from shared.permissions import Keys, Permission
from shared.rpc.callers import OPERATOR, all_callers, may_call


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one user may do, and which calls it may make. A tap binds to `topics` by these keys alone."""

    user: str
    configure: tuple[str, ...]
    write: tuple[str, ...]
    read: tuple[str, ...]
    topics: tuple[Keys, ...]
    calls: tuple[str, ...]
    tags: tuple[str, ...]


def rows(permissions: Iterable[Permission], services: Sequence[Service]) -> list[Row]:
    """The table. Calls are made by services and, over HTTP, by the operator, who is no user of the broker."""
    callers = {named(service.name): service.name for service in services}
    calls = sorted(all_callers(ROOT))
    found = [
        Row(
            user=one.user,
            configure=one.configure,
            write=one.write,
            read=one.read,
            topics=one.topics,
            calls=tuple(call for call in calls if may_call(callers.get(one.user, ""), call)),
            tags=one.tags,
        )
        for one in permissions
    ]
    nothing: tuple[str, ...] = ()
    every = Row(
        user=OPERATOR, configure=nothing, write=nothing, read=nothing, topics=(), calls=("*",), tags=nothing
    )
    return [*found, every]


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with the table; 1 if the services' code cannot be read."""
    parser = argparse.ArgumentParser(
        prog="permissions",
        description="Show what each user of the broker may do, and who may make which calls.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args(argv).json
    try:
        services = current_layout().services
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    done = subprocess.run(broker_users.command(services), cwd=ROOT, stdout=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode != 0:
        return 1
    found = rows(broker_users.read(done.stdout, services), services)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    table = Table(show_lines=True, pad_edge=False)
    for title in ("who", "configure", "write", "read", "topics", "calls"):
        table.add_column(title, overflow="fold")
    for row in found:
        user = f"{row.user}\n({', '.join(row.tags)})" if row.tags else row.user
        names = ("\n".join(some) for some in (row.configure, row.write, row.read, map(_said, row.topics)))
        table.add_row(user, *names, "\n".join(_gathered(row.calls)))
    wide_console().print(table)
    return 0


def _said(keys: Keys) -> str:
    said = [
        f"{word} {', '.join(some)}" for word, some in (("write", keys.write), ("bind", keys.read)) if some
    ]
    return f"{keys.exchange}: {'; '.join(said)}"


def _gathered(calls: Iterable[str]) -> list[str]:
    """One line a service that is called: `item: get, list`."""
    by_service: dict[str, list[str]] = {}
    for call in calls:
        service, _, name = call.partition(".")
        by_service.setdefault(service, []).append(name)
    return [
        f"{service}: {', '.join(names)}" if any(names) else service for service, names in by_service.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
