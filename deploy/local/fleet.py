"""What can be done with a local run: the commands of `python -m deploy.local`, as functions.

Every function takes `environ` (left out: the process's own environment), which says by SHOP_PORT_BASE and
SHOP_RUN_DIR which run is meant. They return when what they are named after has happened, and raise FleetError
with a message for people. `broker` and `database` are stopped, started and restarted like services.
"""

import contextlib
import os
import shutil
import signal as signals
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from deploy.call_keys import PUBLIC, make_call_keys
from deploy.local import broker, database
from deploy.local import infra as servers
from deploy.local import settings as run_settings
from deploy.local.broker_users import bring_up_to_date
from deploy.local.errors import FleetError
from deploy.local.layout import Layout, layout
from deploy.local.lock import exclusive
from deploy.local.migrations import migrate_all
from deploy.local.ports import check_free
from deploy.local.processes import end, owned, wait_gone
from deploy.local.queues import declaring
from deploy.local.status import Process, health, processes, programs
from deploy.local.supervisor import Supervisor
from deploy.local.tls import have_certificates
from deploy.secrets import secret
from deploy.services import MAX_REPLICAS, Service

Environ = Mapping[str, str] | None
Report = Callable[[str], None]

SERVERS = (database.NAME, broker.NAME)

_READY_WITHIN_S = 60.0
_DEATHS_TOLERATED = 3
_RUN_FILES = ("broker", "database", "logs", "secrets", "settings.json", "supervisor.ini", "supervisor.pid")


class _Run(NamedTuple):
    """A run that is on: the layout and the settings it was started with, not those of this terminal."""

    at: Layout
    supervisor: Supervisor
    settings: dict[str, str]
    environ: Mapping[str, str]


def infra(environ: Environ = None, *, report: Report = print) -> Layout:
    """Broker and database alone, ready, with every service's database and user: what tests need."""
    environ = os.environ if environ is None else environ
    at = _ours(environ)
    servers.install(at)
    with exclusive(at):
        starting = _start_servers(at, environ, report)
        servers.await_database(at, starting)
        servers.await_broker(at, starting)
    report("broker and database are ready")
    return at


def up(environ: Environ = None, *, keep_settings: bool = False, report: Report = print) -> Layout:
    """Start whatever does not run and return when all of it is ready.

    On a running shop it starts what was stopped; services whose settings (SHOP_*) differ from what they were
    started with are restarted, unless `keep_settings`. Replicas added by `scale` stay.
    """
    environ = os.environ if environ is None else environ
    began = time.monotonic()
    at = _ours(environ)
    servers.install(at)
    with exclusive(at):
        if keep_settings and Supervisor(at).process() is not None:
            run = _running(environ)
            at, environ = run.at, {**run_settings.plain(environ), **run.settings}
        servers.heal(at, Supervisor(at))
        supervisor = Supervisor(at)
        has_secrets = (at.secrets / PUBLIC).exists()
        _check_service_ports(at, supervisor)
        starting = _start_servers(at, environ, report)
        settings = run_settings.ours(environ)
        with declaring(at, environ, settings, skip_known=True) as queues:
            servers.await_database(at, starting)
            report(f"database ready after {time.monotonic() - began:.1f} s")
            migrate_all(at, environ, settings, skip_known=True, between=starting.check)
            report(f"databases migrated after {time.monotonic() - began:.1f} s")
            if queues.is_due:
                servers.await_broker(at, starting)
                queues.finish(report)
                report(f"queues declared after {time.monotonic() - began:.1f} s")
        # The services wait for the broker by themselves: they load their code while it starts.
        _start_services(at, supervisor, environ, report, has_secrets=has_secrets)
        servers.await_broker(at, starting)
        report(f"broker ready after {time.monotonic() - began:.1f} s")
    _await_ready(at, supervisor, _declared_names(at, supervisor))
    report(f"all services ready after {time.monotonic() - began:.1f} s")
    return at


def migrate(environ: Environ = None, *, report: Report = print) -> None:
    """Bring databases and queues up to date, starting the servers if need be; services are left alone.

    A queue that is consumed is left as it is, and said so.
    """
    environ = os.environ if environ is None else environ
    at = infra(environ, report=report)
    settings = run_settings.ours(environ)
    with exclusive(at), declaring(at, environ, settings) as queues:
        migrate_all(at, environ, settings)
        queues.finish(report)


def down(environ: Environ = None) -> None:
    """Stop everything, services first, so that they can still hand on what they hold; data stays.

    Afterwards no process of this run is left, whatever state it was in.
    """
    at = layout(environ)
    with exclusive(at):
        _down(at)


def reset(environ: Environ = None) -> None:
    """Stop everything and delete data, logs and settings of this run. External servers keep theirs."""
    at = layout(environ)
    with exclusive(at):
        _down(at)
        for name in _RUN_FILES:
            path = at.run_dir / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for service in at.services:
            (at.run_dir / f"{service.name}.jsonl").unlink(missing_ok=True)
        if at.plain_dir != at.run_dir:
            at.plain_dir.unlink(missing_ok=True)
        (at.run_dir / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody's own files in it: theirs to delete
            at.run_dir.rmdir()


def ps(environ: Environ = None) -> list[Process]:
    """Every program of the run with pid, state, port and memory; empty when nothing runs."""
    at = layout(environ)
    supervisor = Supervisor(at)
    if supervisor.process() is None:
        return []
    run = _running(environ)
    return processes(run.at, supervisor)


def current_layout(environ: Environ = None) -> Layout:
    """Where everything is: of the run that is on, as it was started, or else of the one that would be."""
    at = layout(environ)
    return at if not at.private_shop or Supervisor(at).process() is None else _running(environ).at


def is_up(environ: Environ = None) -> bool:
    """Whether every declared service has a replica and everything that should run is ready."""
    found = ps(environ)
    names = {process.service for process in found}
    return all(process.ready for process in found) and all(
        service.name in names for service in layout(environ).services
    )


def stop(name: str, environ: Environ = None) -> None:
    """Stop all replicas of a service (or one, `order-2`; or broker, database) until `start`."""
    run = _running(environ)
    with exclusive(run.at):
        run.supervisor.stop(*_names(run, name))


def start(name: str, environ: Environ = None) -> None:
    """Start what `stop` stopped and return when it is ready."""
    run = _running(environ)
    with exclusive(run.at):
        for one in _names(run, name):
            run.supervisor.start(one)
    _await_start(run, _names(run, name))


def restart(
    name: str | None = None, environ: Environ = None, *, settings: Mapping[str, str] | None = None
) -> None:
    """Restart a service, its code read anew, replica by replica so that the others serve meanwhile.

    Without a name: every service, but neither broker nor database. `settings` (SHOP_*) are added to those the
    run was started with, for these processes until their next restart.
    """
    run = _running(environ)
    names = _names(run, name) if name else _declared_names(run.at, run.supervisor)
    for one in names:
        with exclusive(run.at):
            if one in SERVERS:
                run.supervisor.stop(one)
                run.supervisor.start(one)
            else:
                run.supervisor.remove(one)
                _add(run, one, {**run.settings, **(settings or {})})
        _await_start(run, [one])


def scale(name: str, replicas: int, environ: Environ = None) -> None:
    """Have so many replicas (1 to 9) of a service; returns when they are ready. Others keep running."""
    if not 1 <= replicas <= MAX_REPLICAS:
        raise FleetError(f"a service has 1 to {MAX_REPLICAS} replicas, not {replicas}")
    run = _running(environ)
    service = run.at.service(name)
    if service.outside and replicas > 1:
        raise FleetError(f"{name} is outside of the shop: there is one of it")
    if replicas > service.most:
        raise FleetError(
            f"{name} has room for {service.most} replicas, not {replicas}: deploy/services.toml says so"
        )
    wanted = [f"{name}-{replica}" for replica in range(1, replicas + 1)]
    with exclusive(run.at):
        present = set(run.supervisor.states())
        added = [one for one in wanted if one not in present]
        check_free(run.at, {_port(run.at, one): one for one in added})
        for one in added:
            _add(run, one, run.settings)
        for replica in range(service.most, replicas, -1):
            if f"{service.name}-{replica}" in present:
                run.supervisor.remove(f"{service.name}-{replica}")
    _await_ready(run.at, run.supervisor, wanted)


def kill(name: str, replica: int = 1, signal: int = signals.SIGKILL, environ: Environ = None) -> int:
    """Send a signal to one process; it is started again when it dies. Returns the pid that was hit."""
    run = _running(environ)
    program = name if name in SERVERS else f"{name}-{replica}"
    pids = run.supervisor.pids(program) if program in run.supervisor.states() else []
    if not pids:
        raise FleetError(f"{program} does not run")
    os.kill(pids[0], signal)
    return pids[0]


def await_ready(name: str, environ: Environ = None, *, within_s: float = _READY_WITHIN_S) -> None:
    """Return when all replicas of a service (or broker, database) are ready, for instance after a `kill`."""
    run = _running(environ)
    _await_ready(run.at, run.supervisor, _names(run, name), within_s=within_s)


def _running(environ: Environ) -> _Run:
    """The run that is on, as it was started: this terminal only says which one."""
    environ = os.environ if environ is None else environ
    at = _ours(environ)
    supervisor = Supervisor(at)
    if supervisor.process() is None:
        raise FleetError(f"nothing runs in {at.run_dir}: start the shop with ./just up")
    run_settings.refuse_other_base(at)
    settings = run_settings.recall(at)
    settings = run_settings.ours(environ) if settings is None else settings
    settings |= {"SHOP_PORT_BASE": str(at.base), "SHOP_RUN_DIR": str(at.run_dir)}
    return _Run(layout(settings), supervisor, settings, run_settings.plain(environ))


def _ours(environ: Mapping[str, str]) -> Layout:
    """The layout of a run that is ours to start and stop; FleetError for a shop that runs elsewhere."""
    at = layout(environ)
    if not at.private_shop:
        raise FleetError(
            f"the shop at {at.gateway_url} is not run from here: SHOP_GATEWAY_URL says that it runs elsewhere"
        )
    return at


def _start_servers(at: Layout, environ: Mapping[str, str], report: Report) -> servers.Starting:
    supervisor = Supervisor(at)
    if supervisor.process() is not None:
        run_settings.refuse_other_base(at)
        run_settings.refuse_other_tls(at)
    have_certificates(at)
    make_call_keys(at.secrets, at.services)
    for service in (one for one in at.services if not one.outside):
        secret(at.secrets, run_settings.secret_key(service))
    starting = servers.start(at, supervisor, environ)
    bring_up_to_date(at, report)
    if run_settings.recall(at) is None or not _declared_names(at, supervisor):
        run_settings.remember(at, environ)
    return starting


def _start_services(
    at: Layout, supervisor: Supervisor, environ: Mapping[str, str], report: Report, *, has_secrets: bool
) -> None:
    settings = run_settings.ours(environ)
    wanted = _wanted(at, supervisor)
    present = _declared_names(at, supervisor)
    if present and (settings != run_settings.recall(at) or not has_secrets):
        report("the settings have changed: restarting the services")
        supervisor.stop(*present)
        for one in present:
            supervisor.remove(one)
    run_settings.remember(at, environ)
    run = _Run(at, supervisor, settings, run_settings.plain(environ))
    states = supervisor.states()
    for one in wanted:
        if one not in states:
            _add(run, one, settings)
        elif states[one] == "stopped":
            supervisor.start(one)


def _wanted(at: Layout, supervisor: Supervisor) -> list[str]:
    """The replicas there are, stopped ones too; for a service without any, as many as are declared."""
    wanted = _declared_names(at, supervisor)
    served = {_split(at, one)[0].name for one in wanted}
    for service in at.services:
        if service.name not in served:
            wanted += [f"{service.name}-{replica}" for replica in range(1, service.replicas + 1)]
    return list(programs(at, wanted))


def _check_service_ports(at: Layout, supervisor: Supervisor) -> None:
    """Before anything is started: failing at the last port would have kept somebody waiting for nothing."""
    states = supervisor.states()
    idle = [one for one in _wanted(at, supervisor) if states.get(one, "stopped") == "stopped"]
    needed = {_port(at, one): one for one in idle}
    doors = {one for one in _wanted(at, supervisor) if _split(at, one)[0].public}
    if doors and doors <= set(idle):
        needed[at.base] = "the public door"
    check_free(at, needed)


def _down(at: Layout) -> None:
    supervisor = Supervisor(at)
    process = supervisor.process()
    if process is not None:
        run_settings.refuse_other_base(at)
        try:
            supervisor.stop(*(name for name in supervisor.states() if name not in SERVERS))
            supervisor.quit()
            wait_gone([process], 90.0)
        except FleetError as error:
            print(f"{error}\nending every process of {at.run_dir} instead", flush=True)
    end(owned(at), within_s=60.0)
    (at.run_dir / "supervisor.pid").unlink(missing_ok=True)


def _add(run: _Run, name: str, settings: Mapping[str, str]) -> None:
    service, replica = _split(run.at, name)
    run.supervisor.add(run_settings.replica_program(run.at, service, replica, settings), run.environ)


def _split(at: Layout, name: str) -> tuple[Service, int]:
    service, _, replica = name.rpartition("-")
    return at.service(service), int(replica)


def _port(at: Layout, name: str) -> int:
    service, replica = _split(at, name)
    return service.port(at.base, replica)


def _names(run: _Run, name: str) -> list[str]:
    """The programs meant by `order` (all replicas), `order-2`, `broker` or `database`."""
    present = programs(run.at, list(run.supervisor.states()))
    if name in present:
        return [name]
    if name in SERVERS:
        raise FleetError(f"the {name} is not run from here: its URL came from the environment")
    found = [one for one, (service, _, _) in present.items() if service == name]
    if not found:
        run.at.service(name.rpartition("-")[0] if name[-1:].isdigit() else name)
        raise FleetError(f"{name} does not run: start it with ./just up")
    return found


def _declared_names(at: Layout, supervisor: Supervisor) -> list[str]:
    return [one for one in programs(at, list(supervisor.states())) if one not in SERVERS]


def _await_start(run: _Run, names: list[str]) -> None:
    """Of what was started just now; a server that cannot come up stays stopped."""
    if len(names) == 1 and names[0] in SERVERS:
        servers.await_restart(run.at, run.supervisor, names[0])
    else:
        _await_ready(run.at, run.supervisor, names)


def _await_ready(
    at: Layout, supervisor: Supervisor, names: Iterable[str], *, within_s: float = _READY_WITHIN_S
) -> None:
    """Poll until all are ready. One that dies again and again is reported at once, with its log's end."""
    ports = {name: port for name, (_, _, port) in programs(at, list(names)).items()}
    pids: dict[str, int] = {}
    deaths = dict.fromkeys(ports, 0)
    deadline = time.monotonic() + within_s
    while True:
        answers = {name: health(at, name, port) for name, port in ports.items()}
        waiting = {name: answer for name, answer in answers.items() if not answer.ready}
        if not waiting:
            return
        for name in waiting:
            current = (supervisor.pids(name) or [0])[0]
            deaths[name] += int(name in pids and current != pids[name] and pids[name] != 0)
            pids[name] = current
            if deaths[name] >= _DEATHS_TOLERATED:
                raise FleetError(f"{name} dies at start\n{servers.log_tail(at, name)}")
        if time.monotonic() > deadline:
            lines = [f"{name} is not ready ({answer.failing})" for name, answer in waiting.items()]
            worst = next(iter(waiting))
            raise FleetError("\n".join([*lines, servers.log_tail(at, worst)]))
        time.sleep(0.1)
