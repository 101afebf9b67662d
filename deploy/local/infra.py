"""Broker and database of a local run: private ones, or those that the environment names."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping

from deploy.databases import create_databases
from deploy.local import binaries, broker, database
from deploy.local.engines import (
    BROKER_SETTING,
    DATABASE_SETTING,
    check_named,
    maker_of,
    refuse_foreign_data,
    sign,
)
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.local.ports import check_free
from deploy.local.processes import end, names, owned
from deploy.local.program import Program
from deploy.local.settings import plain
from deploy.local.supervisor import Supervisor

_READY_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.5
_MODULES = {database.NAME: database, broker.NAME: broker}
_SETTINGS = {database.NAME: DATABASE_SETTING, broker.NAME: BROKER_SETTING}


class Starting:
    """The private servers of a run; those that were started just now are watched until they are ready.

    One that dies before would die again and again. Who waits for a server, or for what takes long beside it,
    calls `check` now and then: it takes the server out of the way and raises FleetError with its log's end.
    """

    def __init__(self, at: Layout, supervisor: Supervisor) -> None:
        self._at = at
        self._supervisor = supervisor
        self._pids: dict[str, list[int]] = {}
        """As they were last seen; none where it had died again before anybody could look."""
        self._failure: FleetError | None = None
        self._lock = threading.Lock()
        self._looked = 0.0

    def watch(self, name: str) -> None:
        """This one was started just now."""
        self._pids[name] = self._supervisor.pids(name)
        self._looked = time.monotonic()

    def check(self) -> None:
        """Raise FleetError if one has died; looks twice a second, however often it is asked."""
        with self._lock:
            if self._failure is None and time.monotonic() - self._looked > _LOOK_EVERY_S:
                self._look()
                self._looked = time.monotonic()
            if self._failure is not None:
                raise self._failure

    def became_ready(self, name: str) -> None:
        """This one need not be watched any more, and its data are its own."""
        if self._pids.pop(name, None) is not None:
            module = _MODULES[name]
            sign(module.engine_of(self._at), module.data_of(self._at))

    def _look(self) -> None:
        for name, before in list(self._pids.items()):
            now = self._supervisor.pids(name)
            if not now or (before and now != before):
                give_up(self._supervisor, name)
                self._failure = FleetError(
                    f"the {name} died at start\n{log_tail(self._at, name)}{_hint(self._at, name)}"
                )
            self._pids[name] = now


def give_up(supervisor: Supervisor, name: str) -> None:
    """Take a server that cannot start from the supervisor, which would try for ever."""
    for pid in supervisor.pids(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # asked nicely, it would first have to come up
    supervisor.remove(name)


def _hint(at: Layout, name: str) -> str:
    module, setting = _MODULES[name], _SETTINGS[name]
    maker = maker_of(module.data_of(at), setting)
    if maker is None:
        return ""
    return (
        f"\nIt is {module.engine_of(at)}; its data were made by {maker}. Another program: {setting}=PATH."
        "\nIf its data are to blame, ./just reset deletes them, with all others of this run."
    )


def install(at: Layout) -> None:
    """Have the private servers' programs on the machine; outside any lock, for it may take a minute."""
    check_named(at)
    binaries.ensure(
        broker=at.private_broker and not at.broker_program,
        database=at.private_database and not at.database_program,
    )


def start(at: Layout, supervisor: Supervisor, environ: Mapping[str, str]) -> Starting:
    """Have the supervisor, the broker and the database running; returns before they are ready."""
    heal(at, supervisor)
    states = supervisor.states()
    wanted = {
        database: (at.private_database, at.database_program, _database_ports(at)),
        broker: (at.private_broker, at.broker_program, _broker_ports(at)),
    }
    _link(at)
    due = {}
    for module, (is_private, named, ports) in wanted.items():
        if not is_private:
            continue
        if states.get(module.NAME) == "active":
            if named:
                _refuse_other_program(at, module.NAME)
            continue
        refuse_foreign_data(module.engine_of(at), module.data_of(at), _SETTINGS[module.NAME])
        due[module] = ports
    if supervisor.process() is None:
        check_free(at, _control_ports(at))
        supervisor.launch()
    starting = Starting(at, supervisor)
    for module, ports in due.items():
        if module.NAME in states:
            supervisor.remove(module.NAME)
        check_free(at, ports)
        _add(supervisor, module.prepare(at), environ)
        starting.watch(module.NAME)
    return starting


def _refuse_other_program(at: Layout, name: str) -> None:
    """What runs is not exchanged under the services' feet, nor silently taken for what was asked for."""
    module = _MODULES[name]
    wanted, running = module.engine_of(at), maker_of(module.data_of(at), _SETTINGS[name])
    if running is not None and wanted.program != running.program:
        raise FleetError(f"the {name} runs as {running}: first ./just down, and then up with {wanted}")


def await_database(at: Layout, starting: Starting) -> None:
    """Return when the database answers and every service's database and user exist."""
    if at.private_database:
        _await(at, database.NAME, starting)
    elif not database.is_ready(at):
        raise FleetError("the database of SHOP_DATABASE_ADMIN_URL does not answer, or refuses its user")
    create_databases(at.admin_url, at.services, at.database_passwords)


def await_broker(at: Layout, starting: Starting) -> None:
    """Return when the private broker answers; an external one is the services' own concern."""
    if at.private_broker:
        _await(at, broker.NAME, starting)


def await_restart(at: Layout, supervisor: Supervisor, name: str) -> None:
    """Return when the server of that name, started just now, is ready."""
    starting = Starting(at, supervisor)
    starting.watch(name)
    _await(at, name, starting)


def _await(at: Layout, name: str, starting: Starting) -> None:
    """Poll until it is ready; raises FleetError with the end of its log."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _MODULES[name].is_ready(at):
        starting.check()
        if time.monotonic() > deadline:
            raise FleetError(f"the {name} is not ready after {_READY_WITHIN_S:.0f} s\n{log_tail(at, name)}")
        time.sleep(0.1)
    starting.became_ready(name)


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
