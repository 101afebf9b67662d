"""What each user of the broker may do there: `python -m shared.permissions order_svc item_svc ...`, as JSON.

A service signs in as a user of its own (`broker/identity.py`), and may do what its registrations need and
nothing else: configure the queue of its calls and its taps, read its own queues, write to its own exchanges,
to that of calls and to the default exchange. The last is needed for answers and for what goes back to one
queue alone. It opens every queue by name: so it is not this table that guards them against writing, but that
each consumer looks at who published what it takes.

Names are whole names, in which `*` stands for anything. Pure, but for the command line.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shared.broker import topology
from shared.broker.identity import MIGRATE, REDRIVER, named
from shared.messages import service_of

if TYPE_CHECKING:  # it costs half a second, and who only reads the table never needs it
    from shared.service.service import Service

ANYTHING = ("*",)
PEOPLE = "shop"
"""The user of people and their tools: may do everything, and make users."""
PAGES = "console"
"""The user of the operators' pages: sees figures, and removes queues and bindings that are nobody's."""
DEFAULT_EXCHANGE = "amq.default"
"""What the broker's permissions call the exchange without a name."""


class Keys(msgspec.Struct, frozen=True):
    """Under which routing keys a user may publish to a topic exchange (`write`), or bind to it (`read`)."""

    exchange: str
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What one user may do with exchanges and queues, by their names."""

    user: str
    configure: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    topics: tuple[Keys, ...] = ()
    tags: tuple[str, ...] = ()


def permission_of(service: "Service") -> Permission:
    """What a service may do: what its registrations need."""
    name = service.name
    taps = f"{topology.taps_of(f'{service.app_id}#*')}*" if service.taps else None
    calls = topology.rpc_queue(name) if service.answers else None
    own = topology.events_exchange(name) if service.publishes else None
    retries = topology.retries_of(name) + "*" if service.hears else None
    queues = [topology.queue_name(name, one.heard) for one in service.hears]
    tapped: dict[str, list[str]] = {}
    for one in service.taps:
        event = one.view.wire_name
        tapped.setdefault(topology.events_exchange(service_of(event)), []).append(event)
    return Permission(
        user=named(name),
        configure=_some(calls, taps),
        write=_some(own, retries, topology.RPC_EXCHANGE, DEFAULT_EXCHANGE, calls, taps),
        read=_some(
            *queues,
            topology.dead_name("*") if name == REDRIVER else None,
            calls,
            topology.RPC_EXCHANGE if calls else None,
            taps,
            *tapped,
        ),
        topics=tuple(
            Keys(
                exchange,
                write=(f"{name}.*",) if exchange == own else (),
                read=tuple(tapped.get(exchange, ())),
            )
            for exchange in dict.fromkeys(_some(own, *tapped))
        ),
    )


OTHERS = (
    # Moves messages that others have published.
    Permission(user=MIGRATE, configure=ANYTHING, write=ANYTHING, read=ANYTHING, tags=("impersonator",)),
    Permission(user=PEOPLE, configure=ANYTHING, write=ANYTHING, read=ANYTHING, tags=("administrator",)),
    # To unbind a queue, one must be able to write to it and to read from its exchange.
    Permission(
        user=PAGES,
        configure=ANYTHING,
        write=ANYTHING,
        read=(topology.events_exchange("*"),),
        tags=("monitoring",),
    ),
)
"""What those may do who are no services."""


def pattern(names: Iterable[str]) -> str:
    """The regular expression of the broker for these names; the empty one fits none."""
    some = "|".join(re.escape(name).replace(r"\*", ".*") for name in names)
    return f"^({some})$" if some else ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m shared.permissions", description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="such as order_svc")
    packages = parser.parse_args().packages
    services = [importlib.import_module(f"{package}.service").service for package in packages]
    found = [*map(permission_of, services), *OTHERS]
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")


def _some(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
