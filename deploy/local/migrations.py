"""Brings every service's database up to date before the services start."""

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.local.errors import FleetError
from deploy.local.layout import Layout
from deploy.local.settings import plain, service_environment
from deploy.services import ROOT, Service

_AT_ONCE = max(1, min(4, os.cpu_count() or 1))


def migrate_all(at: Layout, environ: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Apply migrations and, unless SHOP_SEED=0, the seeds of every service. A second run changes nothing."""
    services = [service for service in at.services if service.database]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        failures = [
            text for text in pool.map(lambda one: _migrate(at, one, environ, settings), services) if text
        ]
    if failures:
        raise FleetError("\n".join(failures))


def _migrate(
    at: Layout, service: Service, environ: Mapping[str, str], settings: Mapping[str, str]
) -> str | None:
    """Returns what went wrong, so that one failure does not hide another."""
    environment = {**plain(environ), "SHOP_SEED": "1", **service_environment(at, service, settings)}
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
