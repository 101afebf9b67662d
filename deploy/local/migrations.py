"""Brings every service's database up to date before the services start."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.databases import let_verify_read
from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.local.settings import plain, service_environment
from deploy.services import ROOT, Service

_AT_ONCE = max(1, min(4, os.cpu_count() or 1))


def migrate_all(
    at: Layout,
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    *,
    skip_known: bool = False,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Apply migrations and, unless SHOP_SEED=0, the seeds of every service. A second run changes nothing.

    Before each service `between` is called; what it raises ends it all, once those at work have finished.

    With `skip_known`, a service whose migrations and seeds are those last applied is left out, which saves
    most of the time of a later start. That is noted beside the private database's own data, so it cannot
    outlive them; of an external database nothing is known.
    """
    services = [service for service in at.services if service.database]
    done = _read(at) if skip_known and at.private_database else {}
    prints = {service.name: _fingerprint(service, settings) for service in services}
    due = [service for service in services if done.get(service.name) != prints[service.name]]

    def one_by_one(service: Service) -> str | None:
        between()
        return _migrate(at, service, environ, settings)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        failures = list(pool.map(one_by_one, due))
    for service, failure in zip(due, failures, strict=True):
        if failure is None:
            done[service.name] = prints[service.name]
    if at.private_database and due:
        _note(at).write_text(json.dumps(done), encoding="utf-8")
    if any(failures):
        raise FleetError("\n".join(failure for failure in failures if failure))
    let_verify_read(at.admin_url, services)


def _fingerprint(service: Service, settings: Mapping[str, str]) -> str:
    """Changes with what a migration or a seed may depend on: their code, the shared tables, the settings."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    package = ROOT / service.module
    files = [*package.glob("migrations/*.py"), *ROOT.glob("shared/migrations/*.py"), *package.glob("*.py")]
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _note(at: Layout) -> Path:
    return at.run_dir / "database" / "migrated.json"


def _read(at: Layout) -> dict[str, str]:
    try:
        note = json.loads(_note(at).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _migrate(
    at: Layout, service: Service, environ: Mapping[str, str], settings: Mapping[str, str]
) -> str | None:
    """Returns what went wrong, so that one failure does not hide another."""
    environment = {**plain(environ), "SHOP_SEED": "1", **service_environment(at, service, settings)}
    environment["SHOP_DATABASE_URL"] = at.migrating_url(service)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "shared.migrate", service.module],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    log = at.logs / "migrate.log"
    at.logs.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"== {service.module}\n{done.stdout}{done.stderr}")
    if done.returncode == 0:
        return None
    tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
    return f"migrating {service.module} failed (exit code {done.returncode}, all of it in {log}):\n{tail}"
