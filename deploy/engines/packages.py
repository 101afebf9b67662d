"""Gets a server out of a newer Debian suite, without touching what is installed on this machine.

Its packages, and all that they need, are unpacked into a folder, and its programs are called through small
scripts that enter this folder. They keep seeing the project and the temporary folder where they are.
"""

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from deploy import debian
from deploy.engines.catalogue import Server
from deploy.services import ROOT

HOME = ROOT / ".tools" / "engines"
_BASICS = ("base-files", "coreutils", "dash", "gawk", "grep", "hostname", "procps", "sed", "util-linux")
"""What the servers' start scripts call, and their packages take for granted."""
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
    """Get it, unless it is here. Raises `FleetError` (of deploy.local.errors)."""
    if is_fetched(server):
        return
    home = _home(server)
    shutil.rmtree(home, ignore_errors=True)
    root = home / "root"
    root.mkdir(parents=True)
    print(
        f"fetching {server.packages[0]} of Debian {server.suite} into {home.relative_to(ROOT)}/", flush=True
    )
    debian.unpack(server.suite, (*_BASICS, *server.packages), root)
    for name, text in _FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    for name in ("proc", "dev", "root", "tmp"):
        (root / name).mkdir(exist_ok=True)
    _inside(root, ROOT).mkdir(parents=True, exist_ok=True)
    _write_scripts(server, root)


def _home(server: Server) -> Path:
    return HOME / server.name


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
