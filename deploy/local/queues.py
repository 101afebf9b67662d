"""Exchanges and queues of all services, declared while the servers start and before the services do."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.broker_users import are_made
from deploy.local.code import fingerprint
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.local.settings import plain, service_environment
from deploy.queues import command
from deploy.services import ROOT
from shared.broker.identity import MIGRATE

Report = Callable[[str], None]


class Declaring:
    """The process that declares them; none where all of them are known to be there."""

    def __init__(self, at: Layout, process: "subprocess.Popen[bytes] | None", fingerprint: str) -> None:
        self._at = at
        self._process = process
        self._fingerprint = fingerprint

    @property
    def is_due(self) -> bool:
        """Whether the services have to wait for it."""
        return self._process is not None

    def finish(self, report: Report) -> None:
        """Wait until all is declared; says which queues were left as they are. Raises FleetError."""
        if self._process is None:
            return
        said = self._process.communicate()[0].decode(errors="replace")
        log = self._at.logs / "declare.log"
        self._at.logs.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(said)
        lines = said.strip().splitlines()
        if self._process.returncode != 0:
            code = self._process.returncode
            tail = "\n".join(lines[-15:])
            raise FleetError(f"declaring the queues failed (exit code {code}, all of it in {log}):\n{tail}")
        left = [line for line in lines if line.startswith("left as it is: ")]
        for line in left:
            report(line)
        self._process = None
        if self._at.private_broker and not left:
            _note(self._at).write_text(json.dumps(self._fingerprint), encoding="utf-8")

    def end(self) -> None:
        """End it, if somebody else has failed meanwhile: a step that was begun is gone on with next time."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()


@contextmanager
def declaring(
    at: Layout, environ: Mapping[str, str], settings: Mapping[str, str], *, skip_known: bool = False
) -> Iterator[Declaring]:
    """Begin to declare: the program loads, and waits for a broker that is only starting.

    With `skip_known` nothing is done where the code that says what there is has not changed since. That is
    noted beside the private broker's own data, so it cannot outlive them; of others nothing is known.
    """
    words = command(at.services)
    now = _fingerprint(at, settings)
    known = skip_known and at.private_broker and _read(at) == now
    process = None
    if words is not None and not known:
        some = next(service for service in at.services if not service.outside)
        environment = {**plain(environ), **service_environment(at, some, settings)}
        if are_made(at):
            environment["SHOP_AMQP_URL"] = at.amqp_url_of(MIGRATE)
        process = subprocess.Popen(  # noqa: S603
            words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    begun = Declaring(at, process, now)
    try:
        yield begun
    finally:
        begun.end()


def _fingerprint(at: Layout, settings: Mapping[str, str]) -> str:
    """Changes with what says which queues there are: the code, and the settings."""
    return hashlib.sha256(
        f"{json.dumps(dict(settings), sort_keys=True)}{fingerprint(at)}".encode()
    ).hexdigest()


def _note(at: Layout) -> Path:
    return at.run_dir / "broker" / "declared.json"


def _read(at: Layout) -> str | None:
    try:
        return json.loads(_note(at).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
