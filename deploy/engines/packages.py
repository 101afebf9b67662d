"""Gets a server out of a newer Debian suite, without touching what is installed on this machine.

Its packages, and all that they need, are unpacked into a folder, and its programs are called through small
scripts that enter this folder. They keep seeing the project and the temporary folder where they are.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.engines.catalogue import Server
from deploy.local.errors import FleetError
from deploy.services import ROOT

HOME = ROOT / ".tools" / "engines"
_BASICS = ("base-files", "coreutils", "dash", "gawk", "grep", "hostname", "procps", "sed", "util-linux")
"""What the servers' start scripts call, and their packages take for granted."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}
"""What the packages' installation scripts, which do not run, would have made."""


def program(server: Server) -> Path:
    """The program to name in the server's setting."""
    return _home(server) / "bin" / Path(server.programs[0]).name


def is_fetched(server: Server) -> bool:
    """Whether all of it is here."""
    return program(server).exists()


def fetch(server: Server) -> None:
    """Get it, unless it is here. Raises `FleetError`."""
    if is_fetched(server):
        return
    home = _home(server)
    shutil.rmtree(home, ignore_errors=True)
    root = home / "root"
    root.mkdir(parents=True)
    print(f"fetching {server.package} of Debian {server.suite} into {home.relative_to(ROOT)}/", flush=True)
    with tempfile.TemporaryDirectory(prefix="sagamart-apt-") as folder:
        for package in _downloaded(server, Path(folder)):
            _run(["dpkg-deb", "--extract", str(package), str(root)], f"unpacking {package.name}")
    for name, text in _FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    for name in ("proc", "dev", "root", "tmp"):
        (root / name).mkdir(exist_ok=True)
    _inside(root, ROOT).mkdir(parents=True, exist_ok=True)
    _write_scripts(server, root)


def mirror() -> str:
    """The Debian mirror that this machine's apt uses. Raises `FleetError` where there is none."""
    if shutil.which("apt-get") is None:
        raise FleetError("servers are fetched with apt-get, and this machine has none")
    form = ["--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"]
    for line in _run(["apt-get", "indextargets", *form], "asking apt for its mirror").splitlines():
        address, _, origin = line.partition(" ")
        if origin == "Debian" and "security" not in address:
            return address
    raise FleetError("servers are fetched from a Debian mirror, and this machine's apt knows none")


def _home(server: Server) -> Path:
    return HOME / server.name


def _downloaded(server: Server, folder: Path) -> list[Path]:
    """The packages of a server and all that they need, fetched by apt as if nothing were installed."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    sources = folder / "sources.list"
    sources.write_text(f"deb {signed}{mirror()} {server.suite} main\n", encoding="utf-8")
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
    _run([*apt, "update"], f"reading what Debian {server.suite} has")
    install = [*apt, "install", "-y", "--no-install-recommends", "--download-only"]
    _run([*install, *_BASICS, server.package], f"fetching {server.package}")
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _write_scripts(server: Server, root: Path) -> None:
    """The scripts that enter the folder and run a program there, in a mount namespace of its own."""
    scripts = root.parent / "bin"
    scripts.mkdir()
    unshare = "unshare --mount" if os.geteuid() == 0 else "unshare --map-root-user --mount"
    shown = {Path(place) for place in ("/proc", "/dev", tempfile.gettempdir(), ROOT)}
    mounts = "; ".join(
        f"mount --rbind {shlex.quote(str(place))} {shlex.quote(str(_inside(root, place)))}"
        for place in sorted(shown)
    )
    # The server is written last: it is what tells that all is here.
    for path in reversed(server.programs):
        enter = f'set -e; {mounts}; cd /; exec chroot {shlex.quote(str(root))} {path} "$@"'
        script = scripts / Path(path).name
        script.write_text(
            f'#!/bin/sh\nexec {unshare} sh -c {shlex.quote(enter)} {script.name} "$@"\n', encoding="utf-8"
        )
        script.chmod(0o755)


def _inside(root: Path, place: Path) -> Path:
    """Where a folder of this machine is seen from inside."""
    return root / place.relative_to("/")


def _run(command: list[str], what: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise FleetError(f"{what} failed:\n{tail}")
    return done.stdout
