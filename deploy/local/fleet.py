"""What can be done with a local run: the commands of `python -m deploy.local`, as functions.

Every function takes `environ` (default: the process's own environment), which says by SHOP_PORT_BASE and
SHOP_RUN_DIR which run is meant. They raise FleetError with a message for people.
"""

import os
from collections.abc import Mapping

from deploy.local import infra as servers
from deploy.local import settings as run_settings
from deploy.local.errors import FleetError
from deploy.local.layout import Layout, layout
from deploy.local.lock import exclusive
from deploy.local.processes import end, owned, wait_gone
from deploy.local.supervisor import Supervisor


def infra(environ: Mapping[str, str] | None = None) -> Layout:
    """Broker and database alone, ready, with every service's database and user: what tests need."""
    environ = os.environ if environ is None else environ
    at = layout(environ)
    servers.install(at)
    with exclusive(at):
        _start_servers(at, environ)
        servers.await_database(at)
    servers.await_broker(at)
    return at


def down(environ: Mapping[str, str] | None = None) -> None:
    """Stop everything, services first, so that they can still hand on what they hold; data stays.

    Afterwards no process of this run is left, whatever state it was in.
    """
    at = layout(environ)
    with exclusive(at):
        _down(at)


def _down(at: Layout) -> None:
    supervisor = Supervisor(at)
    process = supervisor.process()
    if process is not None:
        run_settings.refuse_other_base(at)
        try:
            states = supervisor.states()
            supervisor.stop(*(name for name in states if name not in ("broker", "database")))
            supervisor.quit()
            wait_gone([process], 90.0)
        except FleetError as error:
            print(f"{error}\nending every process of {at.run_dir} instead", flush=True)
    end(owned(at), within_s=60.0)
    (at.run_dir / "supervisor.pid").unlink(missing_ok=True)


def _start_servers(at: Layout, environ: Mapping[str, str]) -> Supervisor:
    supervisor = Supervisor(at)
    if supervisor.process() is not None:
        run_settings.refuse_other_base(at)
    servers.start(at, supervisor, environ)
    if not (at.run_dir / "settings.json").exists() or not run_settings.recall(at):
        run_settings.remember(at, run_settings.chosen(environ))
    return supervisor
