"""Packages of any Debian suite, unpacked into a folder; what is installed on this machine is not touched."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import FleetError

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def mirror() -> str:
    """The Debian mirror that this machine's apt uses. Raises `FleetError` where there is none."""
    if shutil.which("apt-get") is None:
        raise FleetError("packages are fetched with apt-get, and this machine has none")
    form = ["--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"]
    for line in _run(["apt-get", "indextargets", *form], "asking apt for its mirror").splitlines():
        address, _, origin = line.partition(" ")
        if origin == "Debian" and "security" not in address:
            return address
    raise FleetError("packages are fetched from a Debian mirror, and this machine's apt knows none")


def unpack(suite: str, packages: Sequence[str], root: Path) -> None:
    """Unpack these packages, and all that they need as if nothing were installed, into the folder `root`.

    Their installation scripts do not run: what those would have made is the caller's to make.
    Raises `FleetError`, with the end of what apt said.
    """
    with tempfile.TemporaryDirectory(prefix="sagamart-apt-") as folder:
        for package in _downloaded(suite, packages, Path(folder)):
            _run(["dpkg-deb", "--extract", str(package), str(root)], f"unpacking {package.name}")


def _downloaded(suite: str, packages: Sequence[str], folder: Path) -> list[Path]:
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    sources = folder / "sources.list"
    sources.write_text(f"deb {signed}{mirror()} {suite} main\n", encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        # Lists of `sid` are not renewed while it rests.
        "Acquire::Check-Valid-Until": "false",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    _run([*apt, "update"], f"reading what Debian {suite} has")
    install = [*apt, "install", "-y", "--no-install-recommends", "--download-only"]
    _run([*install, *packages], f"fetching {packages[-1]}")
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _run(command: list[str], what: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise FleetError(f"{what} failed:\n{tail}")
    return done.stdout
