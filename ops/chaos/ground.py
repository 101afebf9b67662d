"""The shop that is broken: one of its own, beside whatever else runs here, or the running one if told so."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from deploy.local import fleet
from deploy.local.errors import FleetError
from deploy.local.layout import HOST, Layout, layout
from ops.chaos.disk import Disk
from ops.chaos.links import Links
from ops.chaos.plan import Scope

ABOVE = 600
"""The ports of the shop that is broken lie so far above the usual ones; its links use the block after."""
_DATABASE_LINKS = 50
"""Links to the broker begin at the first port of their block, those to the database so far above."""

# Servers and doors that a terminal, or the recipe that started us, names: ours are our own.
_NOT_OURS = (
    "SHOP_AMQP_URL",
    "SHOP_DATABASE_ADMIN_URL",
    "SHOP_GATEWAY_URL",
    "SHOP_MANAGEMENT_URL",
    "SHOP_VERIFY_URL",
)

Report = Callable[[str], None]


@dataclass
class Ground:
    """A shop to break. `links_base`: the block of ports for its links; None: its links are left alone.

    `own`: nobody else uses it, so that it is made anew and deleted afterwards.
    """

    environ: Mapping[str, str]
    at: Layout
    links_base: int | None
    own: bool
    report: Report = print
    links: Links | None = None
    disk: Disk | None = None
    via: dict[str, str] = field(default_factory=dict)
    """Settings that lead services over the links."""
    left_out: list[str] = field(default_factory=list)
    """What cannot be done here, and why."""

    @property
    def breakable_servers(self) -> list[str]:
        """Those that are run from here."""
        private = {"broker": self.at.private_broker, "database": self.at.private_database}
        return [name for name, is_private in private.items() if is_private]

    async def begin(self, replicas: int) -> None:
        """Start the shop, or take the running one, with its links and so many replicas of each service."""
        if self.own:
            await asyncio.to_thread(fleet.reset, self.environ)  # what a run that was killed has left
            self.disk = Disk(self.at.run_dir / "database")
            if refusal := await asyncio.to_thread(self.disk.mount):
                self.left_out.append(f"no full disk of the database: {refusal}")
                self.disk = None
        self.via = await self._open_links()
        if self.own:
            self.environ = {**self.environ, **self.via}
            self.at = await asyncio.to_thread(fleet.up, self.environ, report=self.report)
        else:
            self.at = await asyncio.to_thread(fleet.current_layout, self.environ)
            self.left_out.append("no full disk of the database: this shop's was there before")
            if self.via:
                await self._each(self.restart)
        if replicas > 1:
            await self._each(lambda name: fleet.scale(name, replicas, self.environ))

    async def leave(self, *, keep: bool = False, failed: bool = False) -> None:
        """Delete an own shop, unless it is to stay; give the running one its straight links back.

        The logs of one that failed are kept beside it: without them nobody can tell why.
        """
        try:
            if self.own and not keep:
                if failed:
                    await asyncio.to_thread(self._keep_logs)
                await asyncio.to_thread(fleet.reset, self.environ)
                if self.disk is not None:
                    await asyncio.to_thread(self.disk.unmount)
                    with suppress(OSError):  # somebody's own files in it: theirs to delete
                        self.at.run_dir.rmdir()
            elif self.links is not None:
                self.via = {}
                await self._each(self.restart)
        finally:
            if self.links is not None:
                await self.links.close()

    def _keep_logs(self) -> None:
        kept = self.at.run_dir.with_name(f"{self.at.run_dir.name}-failed")
        shutil.rmtree(kept, ignore_errors=True)
        with suppress(OSError):  # none, where it failed before anything was started
            shutil.copytree(self.at.logs, kept)
            self.report(f"the logs of this run: {kept}")

    def restart(self, name: str) -> None:
        """Restart a service, a replica or a server in good order, on the same links. Raises FleetError."""
        fleet.restart(name, self.environ, settings=self.via)

    async def all_ready(self, within_s: float) -> None:
        """Return when servers and services are ready. Raises FleetError, and names those that are not."""
        for name in (*self.breakable_servers, *(service.name for service in self.at.services)):
            await asyncio.to_thread(fleet.await_ready, name, self.environ, within_s=within_s)

    def scope(self, seconds: int, kills: int, *, infra: bool, replicas: int) -> Scope:
        """What a plan for this shop can be about. Raises FleetError for servers that are not ours."""
        if infra and len(self.breakable_servers) < len(fleet.SERVERS):
            raise FleetError(
                "--infra breaks broker and database, but this shop uses servers that run elsewhere"
            )
        if self.own:
            processes = [
                f"{service.name}-{replica}"
                for service in self.at.services
                for replica in range(1, (1 if service.outside else replicas) + 1)
            ]
        else:
            processes = [one.name for one in fleet.ps(self.environ) if one.service not in fleet.SERVERS]
        return Scope(seconds, kills, tuple(processes), self._ways(), infra)

    def _ways(self) -> tuple[tuple[str, str], ...]:
        """Which service needs which server."""
        if self.links_base is None:
            return ()
        return tuple(
            (service.name, server)
            for server in ("broker", "database")
            for service in self.at.services
            if not service.outside and (server == "broker" or service.database)
        )

    async def _open_links(self) -> dict[str, str]:
        if self.links_base is None:
            self.left_out.append("no broken links: the services of this shop reach the servers straight")
            return {}
        first = {"broker": self.links_base, "database": self.links_base + _DATABASE_LINKS}
        servers = {"broker": (HOST, self.at.amqp_port), "database": (HOST, self.at.database_port)}
        self.links = Links([service.name for service in self.at.services], servers, first)
        await self.links.open()
        return {"SHOP_BROKER_VIA": str(first["broker"]), "SHOP_DATABASE_VIA": str(first["database"])}

    async def _each(self, act: Callable[[str], None]) -> None:
        names = [service.name for service in self.at.services if not service.outside]
        await asyncio.gather(*(asyncio.to_thread(act, name) for name in names))


def own_ground(report: Report) -> Ground:
    """A shop of chaos's own: SHOP_PORT_BASE + 600, links + 700, folder SHOP_RUN_DIR/chaos, other settings as
    they are in the terminal."""
    mine = layout()
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    base = mine.base + ABOVE
    environ |= {"SHOP_PORT_BASE": str(base), "SHOP_RUN_DIR": str(mine.run_dir / "chaos")}
    return Ground(environ, layout(environ), base + 100, own=True, report=report)


def running_ground(report: Report, links_base: int | None = None) -> Ground:
    """The shop that this terminal means, as it runs. Raises FleetError if it does not."""
    if not fleet.ps():
        raise FleetError(f"nothing runs in {layout().run_dir}: start the shop with ./just up")
    return Ground(dict(os.environ), fleet.current_layout(), links_base, own=False, report=report)
