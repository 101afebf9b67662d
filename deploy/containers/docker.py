"""What is asked of Docker and of Compose: a command that fails is told with the end of what it said."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.errors import FleetError
from deploy.services import ROOT

IMAGE = "sagamart"


def missing() -> str | None:
    """Why no containers can be run here; None if they can."""
    if shutil.which("docker") is None:
        return "there is no program `docker` on this machine"
    for command, what in (
        ("version", "no Docker daemon answers"),
        ("compose version", "there is no Compose 2"),
    ):
        done = subprocess.run(["docker", *command.split()], capture_output=True, text=True, check=False)  # noqa: S603, S607
        if done.returncode != 0:
            return f"{what}: {done.stderr.strip()[-300:]}"
    return None


def docker(*arguments: str) -> str:
    """Run a command of Docker's and return what it printed. Raises `FleetError`."""
    return _run(["docker", *arguments], os.environ)


def inspect(name: str) -> dict[str, Any]:
    """All that Docker knows of a container or an image."""
    return json.loads(docker("inspect", name))[0]


def build(*, on_the_machines_network: bool) -> None:
    """Build the image of the services."""
    network = ["--network=host"] if on_the_machines_network else []
    docker("build", *network, "--file", str(ROOT / "deploy" / "Dockerfile"), "--tag", IMAGE, str(ROOT))


def added_bytes() -> int:
    """What the Dockerfile adds to its base: the layers after the last one that the base has, too."""
    base = _base()
    sizes = [_layers(name) for name in (IMAGE, base)]
    return sum(sizes[0]) - sum(sizes[1])


def whole_bytes() -> int:
    """The size of the image with its base."""
    return sum(_layers(IMAGE))


def _base() -> str:
    lines = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.split()[1] for line in lines if line.startswith("FROM ")][-1]


def _layers(name: str) -> list[int]:
    said = docker("history", "--human=false", "--format", "{{.Size}}", name)
    return [int(size) for size in said.split()]


class Shop:
    """One shop in containers: a project of Compose with files, ports and secrets of its own."""

    def __init__(self, project: str, files: Sequence[Path], environment: dict[str, str]) -> None:
        self._command = ["docker", "compose", "--project-name", project]
        for file in files:
            self._command += ["--file", str(file)]
        self._environment = {**os.environ, **environment}

    def compose(self, *arguments: str) -> str:
        """Run a command of Compose's on it. Raises `FleetError`."""
        return _run([*self._command, *arguments], self._environment)

    def containers(self, service: str | None = None, *, all_of_them: bool = False) -> list[str]:
        """The containers of a service, or of all; those that have ended, too, if asked for."""
        every = ["--all"] if all_of_them else []
        return self.compose("ps", "--quiet", *every, *([service] if service else [])).split()


def _run(command: list[str], environment: Any) -> str:
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise FleetError(f"`{' '.join(command[:2])} ...` failed:\n{tail}")
    return done.stdout
