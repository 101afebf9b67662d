"""What runs, and how it is."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from deploy.local import broker, database
from deploy.local.health import Health, readyz
from deploy.local.layout import Layout
from deploy.local.processes import memory
from deploy.local.supervisor import Supervisor
from deploy.local.tls import context_for


@dataclass(frozen=True, slots=True)
class Process:
    """One program of the run. `state`: ready, starting (alive, not ready), restarting (died), stopped."""

    service: str
    replica: int
    pid: int | None
    state: str
    ready: bool
    memory_bytes: int
    port: int
    failing: str

    @property
    def name(self) -> str:
        """Name at the supervisor and of the log: `order-1`, `broker`."""
        return self.service if self.replica == 0 else f"{self.service}-{self.replica}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def programs(at: Layout, names: list[str]) -> dict[str, tuple[str, int, int]]:
    """Name to (service, replica, port) of each program known to the supervisor, in start order.

    Broker and database have no replicas and count as number 0.
    """
    known: dict[str, tuple[str, int, int]] = {}
    if database.NAME in names:
        known[database.NAME] = (database.NAME, 0, at.database_port)
    if broker.NAME in names:
        known[broker.NAME] = (broker.NAME, 0, at.amqp_port)
    for service in at.services:
        replicas = sorted(
            int(number) for name, _, number in (one.rpartition("-") for one in names) if name == service.name
        )
        for replica in replicas:
            known[f"{service.name}-{replica}"] = (service.name, replica, service.port(at.base, replica))
    return known


def processes(at: Layout, supervisor: Supervisor) -> list[Process]:
    """Every program with its state; empty when nothing runs."""
    states = supervisor.states()
    known = programs(at, list(states))
    pids = {name: supervisor.pids(name) for name in known}
    with ThreadPoolExecutor(8) as pool:
        healths = list(pool.map(lambda item: health(at, item[0], item[1][2]), known.items()))
    return [
        _process(*known[name], states[name], pids[name], answer)
        for name, answer in zip(known, healths, strict=True)
    ]


def health(at: Layout, name: str, port: int) -> Health:
    """Whether one program is ready."""
    if name == database.NAME:
        return Health(True) if database.is_ready(at) else Health(False, "does not answer")
    if name == broker.NAME:
        return Health(True) if broker.is_ready(at) else Health(False, "does not answer")
    is_over_tls = at.tls and not at.service(name.rpartition("-")[0]).outside
    return readyz(port, trusting=_whom_to_trust(at.ca_file) if is_over_tls else None)


@lru_cache(1)
def _whom_to_trust(file: Path) -> ssl.SSLContext:
    return context_for(file)


def _process(service: str, replica: int, port: int, state: str, pids: list[int], answer: Health) -> Process:
    pid = pids[0] if pids else None
    if pid is None:
        word = "stopped" if state == "stopped" else "restarting"
        return Process(service, replica, None, word, False, 0, port, "")
    word = "stopping" if state == "stopping" else "ready" if answer.ready else "starting"
    return Process(service, replica, pid, word, answer.ready, memory(pid), port, answer.failing)
