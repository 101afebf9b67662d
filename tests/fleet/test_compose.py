"""compose.yaml runs the services that services.toml declares, the way it declares them; what the image is."""

import fnmatch
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.containers import secrets
from deploy.services import ROOT, Service, load_services

SERVICES = load_services({})
SERVERS = {"broker", "database", "migrate", "prometheus"}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
IMAGE_LOCK = "requirements-image.txt"


class _Loader(yaml.SafeLoader):
    """Compose's own way to say that something of an earlier file does not hold."""


_Loader.add_constructor("!reset", lambda _loader, _node: [])


def _read(name: str) -> dict[str, Any]:
    return yaml.load((ROOT / name).read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return _read("compose.yaml")


@cache
def _context() -> dict[str, int]:
    """The files that a build gets, and their sizes; of .dockerignore the last line that fits counts."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]

    def fits(path: Path, pattern: str) -> bool:
        parts = [str(path), *map(str, path.parents[:-1])]
        if pattern.startswith("**/"):
            return any(fnmatch.fnmatch(part, pattern[3:]) for part in path.parts)
        return any(part.count("/") == pattern.count("/") and fnmatch.fnmatch(part, pattern) for part in parts)

    found: dict[str, int] = {}
    for top in ROOT.iterdir():
        if top.name.startswith("."):
            continue
        for path in top.rglob("*") if top.is_dir() else [top]:
            relative, taken = path.relative_to(ROOT), True
            for rule in rules:
                if fits(relative, rule.removeprefix("!")):
                    taken = rule.startswith("!")
            if taken and path.is_file():
                found[str(relative)] = path.stat().st_size
    return found


def test_the_same_services(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) - SERVERS == {service.name for service in SERVICES}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_runs_its_module_with_its_own_database(compose: dict[str, Any], service: Service) -> None:
    found = compose["services"][service.name]
    assert found["command"] == [service.module]
    secret = f"{service.database}_database_url" if service.database else None
    url = found["environment"].get("SHOP_DATABASE_URL_FILE")
    assert url == (f"/run/secrets/{secret}" if secret else None)
    assert [name for name in found["secrets"] if name.endswith("_database_url")] == (
        [secret] if secret else []
    )


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_finds_the_others_and_waits_for_what_it_needs(compose: dict[str, Any], service: Service) -> None:
    found = compose["services"][service.name]
    assert "healthcheck" not in found  # the image has one
    if service.outside:
        assert not found["depends_on"]
        return
    assert found["environment"]["SHOP_PEERS"].split() == [
        f"{peer.name}=http://{peer.name}:8000" for peer in SERVICES if not peer.public and not peer.outside
    ]
    conditions = {name: need["condition"] for name, need in found["depends_on"].items()}
    assert conditions == {
        "broker": "service_healthy",
        "database": "service_healthy",
        "migrate": "service_completed_successfully",
    }


@pytest.mark.parametrize("name", [*(service.name for service in SERVICES), "migrate"])
def test_each_can_write_nowhere_and_become_nobody(compose: dict[str, Any], name: str) -> None:
    found = compose["services"][name]
    assert found["read_only"] is True
    assert found["tmpfs"] == "/tmp"  # noqa: S108
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in found  # the image's


def test_the_image_is_not_roots_and_says_whether_it_is_ready() -> None:
    stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]
    assert re.search(r'^HEALTHCHECK .*CMD \["python", "-IS", "deploy/healthy.py"\]$', stage, re.MULTILINE)
    assert "/readyz" in (ROOT / "deploy" / "healthy.py").read_text(encoding="utf-8")
    assert "SHOP_BIND_HOST=0.0.0.0" in stage
    assert "SHOP_SERVICE_PORT=8000" in stage


def test_each_may_shut_down_in_all_its_steps(compose: dict[str, Any]) -> None:
    """Requests, events, calls, answers and the outbox may each take as long as SHOP_SHUTDOWN_S says."""
    given = re.search(r"SHOP_SHUTDOWN_S=(\d+)", DOCKERFILE)
    assert given
    for service in SERVICES:
        found = compose["services"][service.name]
        assert int(found["stop_grace_period"].removesuffix("s")) > 5 * int(given[1])
        assert "SHOP_SHUTDOWN_S" not in found["environment"]


def test_no_password_stands_in_an_environment(compose: dict[str, Any]) -> None:
    for name, found in compose["services"].items():
        for variable, value in found.get("environment", {}).items():
            assert "@" not in value, f"{name}: {variable}"
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), f"{name}: {variable}"
            assert "SECRET" not in variable or variable.endswith("_FILE"), f"{name}: {variable}"
            if variable.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in found["secrets"], f"{name}: {variable}"


def test_each_secret_is_a_file_that_somebody_needs(compose: dict[str, Any]) -> None:
    needed: set[str] = set()
    for found in compose["services"].values():
        needed |= {one["source"] if isinstance(one, dict) else one for one in found.get("secrets", [])}
    assert set(compose["secrets"]) == needed == set(secrets.secrets_of(secrets.known))
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"${{SHOP_SECRETS:-./deploy/containers/default-secrets}}/{name}"}


def test_the_default_secrets_are_those_of_local_runs() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in secrets.DEFAULTS.iterdir()}
    assert found == {name: f"{text}\n" for name, text in secrets.secrets_of(secrets.known).items()}


def test_new_secrets_have_new_passwords(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "secrets"
    assert secrets.main([str(folder)]) == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    made = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert set(made) == {path.name for path in secrets.DEFAULTS.iterdir()}
    assert all(path.read_text(encoding="utf-8") != made[path.name] for path in secrets.DEFAULTS.iterdir())
    root = made["mysql_root_password"].strip()
    assert made["database_admin_url"] == f"mysql://root:{root}@database:3306/\n"
    assert secrets.main([str(folder)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_only_the_public_service_has_a_public_port(compose: dict[str, Any]) -> None:
    for service in SERVICES:
        found = compose["services"][service.name]
        public = found["environment"].get("SHOP_PUBLIC_PORT")
        assert ("ports" in found) == service.public == (public is not None)
        if public:
            assert found["ports"] == ["127.0.0.1:${SHOP_PORT_BASE:-8000}:" + public]


def test_the_servers_are_the_promised_ones_and_say_when_they_are_ready(compose: dict[str, Any]) -> None:
    assert compose["services"]["database"]["image"] == "mysql:8.4"
    assert compose["services"]["broker"]["image"] == "rabbitmq:4-management"
    assert all("test" in compose["services"][name]["healthcheck"] for name in ("broker", "database"))
    assert "--transaction-isolation=READ-COMMITTED" in compose["services"]["database"]["command"]


def test_two_of_each_stand_behind_a_door(compose: dict[str, Any]) -> None:
    replicas = _read("deploy/containers/replicas.yaml")["services"]
    twice = {name for name, found in replicas.items() if found.get("scale") == 2}
    assert twice == {service.name for service in SERVICES if not service.outside}
    assert replicas["gateway"]["ports"] == []
    assert replicas["door"]["ports"] == compose["services"]["gateway"]["ports"]


def test_prometheus_is_a_profile_and_looks_at_every_service(compose: dict[str, Any]) -> None:
    assert [name for name, found in compose["services"].items() if "profiles" in found] == ["prometheus"]
    [job] = _read("deploy/containers/prometheus.yml")["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert set(found["names"]) == {service.name for service in SERVICES if not service.outside}


def test_every_port_that_is_published_is_on_loopback() -> None:
    for file in ("compose.yaml", "deploy/containers/reachable.yaml", "deploy/containers/replicas.yaml"):
        for name, found in _read(file)["services"].items():
            assert all(port.startswith("127.0.0.1:") for port in found.get("ports", [])), f"{file}: {name}"


def test_the_image_holds_every_module_and_nothing_else(compose: dict[str, Any]) -> None:
    """A service that .dockerignore forgets would fail in its container alone."""
    context = _context()
    tops = {path.partition("/")[0] for path in context if "/" in path}
    assert tops == {"shared", "deploy", *(service.module for service in SERVICES)}
    assert {path for path in context if "/" not in path} == {"pyproject.toml", IMAGE_LOCK}
    assert {path for path in context if path.startswith("deploy/")} == {
        *(
            f"deploy/{name}.py"
            for name in ("__init__", "broker_users", "databases", "healthy", "queues", "services")
        ),
        "deploy/services.toml",
        "deploy/tools.txt",
    }
    assert sum(context.values()) < 3_000_000
    assert compose["services"]["migrate"]["command"] == ["deploy.databases", "--migrate"]


def test_the_image_has_the_versions_of_local_runs_without_their_tools() -> None:
    def locked(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    image = locked(IMAGE_LOCK)
    assert image < locked("requirements.txt")
    names = {one.partition("==")[0] for one in image}
    assert not names & {"circus", "psutil", "pyzmq", "tornado", "polyfactory", "faker"}
    assert {"litestar", "tortoise-orm", "aio-pika", "uvloop"} <= names
