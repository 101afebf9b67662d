"""Finds the broker's and the database's programs, and installs them where that is ours to do."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import FleetError

_PACKAGES = {"rabbitmq-server": "rabbitmq-server", "mariadbd": "mariadb-server"}
_EXTRA_PATH = (
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/opt/homebrew/sbin",
    "/opt/homebrew/bin",
)
_RABBITMQ_HOMES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin")
_POLICY = Path("/usr/sbin/policy-rc.d")
_LOCK_WAIT_S = 300


def which(name: str) -> Path | None:
    """Like `which`, but also where servers are kept: an ordinary user's PATH often lacks the sbin folders."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_PATH])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def rabbitmq_server() -> Path | None:
    """RabbitMQ's own start script.

    Distributions put a wrapper in the PATH that changes to the system user `rabbitmq` (or refuses when it may
    not): a private instance must run as whoever called us, hence the script behind the wrapper.
    """
    for home in _RABBITMQ_HOMES:
        script = Path(home) / "rabbitmq-server"
        if os.access(script, os.X_OK):
            return script
    return which("rabbitmq-server")


def database_server() -> Path | None:
    """MariaDB's or MySQL's server program."""
    return which("mariadbd") or which("mysqld")


def ensure(*, broker: bool, database: bool) -> None:
    """Install the programs that are missing, saying so; raises FleetError where that is not possible."""
    missing = []
    if broker and rabbitmq_server() is None:
        missing.append("rabbitmq-server")
    if database and database_server() is None:
        missing.append("mariadbd")
    if not missing:
        return
    if not install([_PACKAGES[name] for name in missing], missing):
        raise FleetError(_advice(missing, may_install=which("apt-get") is not None))
    if (broker and rabbitmq_server() is None) or (database and database_server() is None):
        raise FleetError(_advice(missing, may_install=False))
    print("installed; no system service was started", flush=True)


def install(packages: Sequence[str], missing: Sequence[str]) -> bool:
    """Install packages for the programs that are missing, saying so; False where that is not ours to do.

    Raises FleetError when it fails.
    """
    prefix = _root_prefix()
    apt = which("apt-get")
    if apt is None or prefix is None:
        return False
    print(f"{' and '.join(missing)} not found: installing {' '.join(packages)} with apt-get", flush=True)
    _install(str(apt), prefix, list(packages))
    return True


def _advice(missing: Sequence[str], *, may_install: bool) -> str:
    packages = " ".join(_PACKAGES[name] for name in missing)
    if may_install:
        hint = f"Install them (apt-get install {packages}) or run this as root once."
    elif platform.system() == "Darwin":
        hint = "Install them (brew install rabbitmq mariadb)."
    else:
        hint = "Install them with your system's package manager."
    return (
        f"Not found on this machine: {', '.join(missing)}. {hint}\n"
        "Or run the whole shop in containers: docker compose up\n"
        "Or name running servers: SHOP_AMQP_URL and SHOP_DATABASE_ADMIN_URL."
    )


def _root_prefix() -> list[str] | None:
    """How to run a command as root: nothing, sudo without a password, or not at all."""
    if os.geteuid() == 0:
        return []
    sudo = which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        return [str(sudo), "-n"]
    return None


def _install(apt: str, prefix: list[str], packages: list[str]) -> None:
    """Debian starts a server as soon as its package is set up; a policy of 101 forbids that meanwhile."""
    own_policy = not _POLICY.exists()
    try:
        if own_policy:
            _write_policy(prefix)
        _run([*prefix, apt, "update", "-q"], what="apt-get update")
        environment = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive"]
        _run(
            [*environment, apt, "install", "-y", "-q", "--no-install-recommends", *packages],
            what=f"apt-get install {' '.join(packages)}",
        )
    finally:
        if own_policy:
            subprocess.run([*prefix, "rm", "-f", str(_POLICY)], check=False)  # noqa: S603


def _write_policy(prefix: list[str]) -> None:
    script = f"printf '#!/bin/sh\\nexit 101\\n' >{_POLICY} && chmod 755 {_POLICY}"
    subprocess.run([*prefix, "sh", "-c", script], check=True)  # noqa: S603


def _run(command: list[str], *, what: str) -> None:
    """Waits while another apt holds its lock: `update` and `install` take two different ones."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
        if done.returncode == 0:
            return
        output = (done.stdout + done.stderr).strip()
        if "Could not get lock" in output and time.monotonic() < deadline:
            print("waiting for another apt-get to finish", flush=True)
            time.sleep(5)
            continue
        tail = "\n".join(output.splitlines()[-15:])
        raise FleetError(f"{what} failed:\n{tail}\nOr run the whole shop in containers: docker compose up")
