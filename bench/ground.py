"""The ground that measurements stand on: a shop, a broker and a database of the benchmark's own."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pymysql

from deploy.databases import connect
from deploy.local import fleet
from deploy.local.layout import Layout, layout

ABOVE = 500
"""The benchmark's block of ports lies so far above the shop's own."""
DOORS = {"limit": 91, "peer": 92, "bare": 93}
"""Where what is measured beside the shop listens, counted from the benchmark's port base."""

# Servers and doors that a terminal, or the recipe that started us, names: ours are our own.
_NOT_OURS = (
    "SHOP_AMQP_URL",
    "SHOP_DATABASE_ADMIN_URL",
    "SHOP_GATEWAY_URL",
    "SHOP_MANAGEMENT_URL",
    "SHOP_VERIFY_URL",
)


@dataclass(slots=True)
class Ground:
    """Where to measure. What ran before is used and left running; what did not is deleted afterwards."""

    environ: Mapping[str, str]
    at: Layout
    ran_before: bool
    shop_is_ready: bool = False
    """Whether the whole shop runs, with the code and the settings of today."""

    def servers(self) -> Layout:
        """Broker and database, ready."""
        return fleet.infra(self.environ, report=_silent)

    def shop(self) -> Layout:
        """The whole shop, ready, with orders that wait for their payment for ever.

        What ran before may be of another day: its services are restarted, once.
        """
        if not self.shop_is_ready:
            fleet.up(self.environ, report=_silent)
            if self.ran_before:
                fleet.restart(environ=self.environ)
            self.shop_is_ready = True
        return self.at

    def leave(self, *, keep: bool) -> None:
        """Delete the run with its data, unless it was there before or is to stay."""
        if not (keep or self.ran_before):
            fleet.reset(self.environ)

    def database(self) -> "pymysql.connections.Connection[Any]":
        """The administrator's connection, in autocommit."""
        return connect(self.at.admin_url, timeout_s=10)

    def service_pids(self) -> dict[str, int]:
        """The processes of all services and of the gateway, by service: `order`, its second one `order-2`."""
        return self._pids([service.name for service in self.at.services if not service.outside])

    def server_pids(self) -> dict[str, int]:
        """Those of broker and database."""
        return self._pids(fleet.SERVERS)

    def _pids(self, wanted: Collection[str]) -> dict[str, int]:
        return {
            process.service if process.replica <= 1 else process.name: process.pid
            for process in fleet.ps(self.environ)
            if process.pid is not None and process.service in wanted
        }

    def door(self, name: str) -> int:
        """The port of what is measured beside the shop."""
        return self.at.base + DOORS[name]


def environment() -> dict[str, str]:
    """The environment of the benchmark's shop, which stands beside the one that ours means.

    Its port base is `SHOP_PORT_BASE` + 500, its folder `SHOP_RUN_DIR`/bench. Other settings are handed on
    (`SHOP_LINGER_MS=1 ./just bench saga`).
    """
    mine = layout()
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return environ | {
        "SHOP_PORT_BASE": str(mine.base + ABOVE),
        "SHOP_RUN_DIR": str(mine.run_dir / "bench"),
        "SHOP_ORDER_UNPAID_S": "0",
        "SHOP_ACCESS_TOKEN_S": "86400",
        "SHOP_STREAMS_OF_USER": "1000",
    }


def prepare() -> Ground:
    """The ground to measure on; nothing is started yet."""
    environ = environment()
    at = layout(environ)
    ran_before = bool(fleet.ps(environ))
    if not ran_before:
        fleet.reset(environ)  # what a run that was killed has left
    return Ground(environ, at, ran_before)


def _silent(_: str) -> None:
    """The benchmark tells its own progress."""
