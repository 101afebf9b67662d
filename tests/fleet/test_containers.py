"""The shop in containers: the health check, the stand-ins for base images, and all of it where Docker is."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from deploy.containers import __main__ as containers
from deploy.containers.docker import missing
from deploy.services import ROOT
from deploy.standins import __main__ as standins
from deploy.standins.images import IMAGES
from tests.fleet.test_compose import DOCKERFILE
from tests.support.ports import reserve_base


@contextmanager
def _answering(answer: bytes | None) -> Iterator[int]:
    """A service that gives this answer to one request, or never answers; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked = connection.recv(1024)
                assert asked.startswith(b"GET /readyz HTTP/1.1\r\n")
                if answer is not None:
                    connection.sendall(answer)
                else:
                    connection.recv(1)  # until the other side gives up

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _asked(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-IS", str(ROOT / "deploy" / "healthy.py")],
        env={"SHOP_SERVICE_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"ready":true}', 0, '{"ready":true}'),
        (b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"ready":false}', 1, '{"ready":false}'),
        (b"", 1, ""),
        pytest.param(None, 1, "no answer: timed out", marks=pytest.mark.slow),
    ],
    ids=["ready", "not ready", "nothing", "hangs"],
)
def test_a_container_is_as_healthy_as_its_service_is_ready(
    answer: bytes | None, code: int, said: str
) -> None:
    with _answering(answer) as port:
        done = _asked(port)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (code, said, "")


def test_a_container_whose_service_does_not_listen_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _asked(port).returncode == 1


def test_each_image_that_is_fetched_has_a_stand_in() -> None:
    fetched = {line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")}
    for file in ("compose.yaml", "deploy/containers/replicas.yaml"):
        text = (ROOT / file).read_text(encoding="utf-8").replace("!reset", "")
        services = yaml.safe_load(text)["services"].values()
        fetched |= {found["image"] for found in services if "image" in found} - {"sagamart"}
    assert fetched == {image.name for image in IMAGES}


def test_each_stand_in_starts_with_a_script_that_is_here() -> None:
    scripts = {image.entrypoint for image in IMAGES if image.entrypoint}
    folder = ROOT / "deploy" / "standins"
    assert scripts == {path.name for path in folder.glob("*.sh")}
    assert all(os.access(folder / script, os.X_OK) for script in scripts)


def test_without_docker_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert containers.main([]) == 2
    assert standins.main(["mysql:8.4"]) == 2
    said = capsys.readouterr().err
    assert "no containers can be run here: there is no program `docker`" in said
    assert "there is no program 'docker'" in said


def test_an_image_without_a_stand_in_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert standins.main(["postgres:17"]) == 2
    assert "no stand-in for postgres:17, only for python:3.13-slim, " in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_shop_runs_in_containers() -> None:
    if why := missing():
        pytest.skip(f"no containers can be run here: {why}")
    done = subprocess.run(
        [str(ROOT / "just"), "containers", "--standins"],
        cwd=ROOT,
        env={**os.environ, "SHOP_PORT_BASE": str(reserve_base())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
