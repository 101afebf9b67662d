"""Broker and database of a local run: private ones, or those that the environment names."""

import time
from collections.abc import Callable, Mapping

from deploy.databases import create_databases
from deploy.local import binaries, broker, database
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.local.ports import check_free
from deploy.local.processes import end, names, owned
from deploy.local.program import Program
from deploy.local.settings import plain
from deploy.local.supervisor import Supervisor

_READY_WITHIN_S = 90.0


def install(at: Layout) -> None:
    """Have the private servers' programs on the machine; outside any lock, for it may take a minute."""
    binaries.ensure(broker=at.private_broker, database=at.private_database)


def start(at: Layout, supervisor: Supervisor, environ: Mapping[str, str]) -> None:
    """Have the supervisor, the broker and the database running; returns before they are ready."""
    heal(at, supervisor)
    if supervisor.process() is None:
        check_free(at, _control_ports(at))
        supervisor.launch()
    states = supervisor.states()
    for private, module, ports in (
        (at.private_database, database, _database_ports(at)),
        (at.private_broker, broker, _broker_ports(at)),
    ):
        if not private or states.get(module.NAME) == "active":
            continue
        if module.NAME in states:
            supervisor.start(module.NAME)
            continue
        check_free(at, ports)
        _link(at)
        _add(supervisor, module.prepare(at), environ)


def await_database(at: Layout) -> None:
    """Return when the database answers and every service's database and user exist."""
    if at.private_database:
        await_ready(at, database.NAME, lambda: database.is_ready(at))
    elif not database.is_ready(at):
        raise FleetError("the database of SHOP_DATABASE_ADMIN_URL does not answer, or refuses its user")
    create_databases(at.admin_url, at.services)


def await_broker(at: Layout) -> None:
    """Return when the private broker answers; an external one is the services' own concern."""
    if at.private_broker:
        await_ready(at, broker.NAME, lambda: broker.is_ready(at))


def await_ready(at: Layout, name: str, is_ready: Callable[[], bool]) -> None:
    """Poll until it is ready; raises FleetError with the end of its log."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while not is_ready():
        if time.monotonic() > deadline:
            raise FleetError(f"the {name} is not ready after {_READY_WITHIN_S:.0f} s\n{log_tail(at, name)}")
        time.sleep(0.1)


def log_tail(at: Layout, name: str, *, lines: int = 12) -> str:
    """The last lines of a program's log, for messages."""
    path = at.logs / f"{name}.log"
    try:
        text = path.read_bytes()[-20_000:].decode("utf-8", errors="replace")
    except OSError:
        return f"({path} is empty)"
    return "\n".join([f"the end of {path}:", *text.splitlines()[-lines:]])


def heal(at: Layout, supervisor: Supervisor) -> None:
    """End what a crash or a power cut left of an earlier run: without a supervisor nothing looks after it."""
    if supervisor.process() is not None:
        return
    left = owned(at)
    if left:
        print(f"ending what an earlier run left behind: {', '.join(names(left))}", flush=True)
        end(left, within_s=30.0)
    # A socket of a dead server is only in the way.
    at.database_socket.unlink(missing_ok=True)


def _link(at: Layout) -> None:
    link = at.plain_dir
    if link != at.run_dir and not (link.is_symlink() and link.readlink() == at.run_dir):
        link.unlink(missing_ok=True)
        link.symlink_to(at.run_dir)


def _add(supervisor: Supervisor, program: Program, environ: Mapping[str, str]) -> None:
    supervisor.add(program, plain(environ))


def _control_ports(at: Layout) -> dict[int, str]:
    return {at.control_port: "the supervisor", at.notices_port: "the supervisor's notices"}


def _database_ports(at: Layout) -> dict[int, str]:
    return {at.database_port: "the database"}


def _broker_ports(at: Layout) -> dict[int, str]:
    return {
        at.amqp_port: "the broker (AMQP)",
        at.management_port: "the broker's management UI",
        at.epmd_port: "the broker's Erlang port mapper",
        at.distribution_port: "the broker's Erlang distribution",
    }
