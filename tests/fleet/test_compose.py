"""compose.yaml runs the services that services.toml declares, the way it declares them; what the image is."""

import fnmatch
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.containers import secrets
from deploy.services import ROOT, Service, load_services
from shared.permissions import Permission

SERVICES = load_services({})
SERVERS = {"broker", "database", "migrate", "prometheus", "secrets"}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
AFTER_SECRETS = {"secrets": {"condition": "service_completed_successfully"}}
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
    url = found["environment"].get("SHOP_DATABASE_URL_FILE")
    assert url == ("/run/secrets/database_url" if service.database else None)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_finds_the_others_and_waits_for_what_it_needs(compose: dict[str, Any], service: Service) -> None:
    found = compose["services"][service.name]
    assert "healthcheck" not in found  # the image has one
    if service.outside:
        assert found["depends_on"] == AFTER_SECRETS
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


def _made(password: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """The secrets, by container and file."""
    permissions = [Permission(user=user) for user in ("migrate", "shop", "console")]
    return secrets.secrets_of(password, SERVICES, permissions)


def test_no_password_stands_in_an_environment(compose: dict[str, Any]) -> None:
    made = _made(lambda name: name)
    for name, found in compose["services"].items():
        for variable, value in found.get("environment", {}).items():
            assert "@" not in value, f"{name}: {variable}"
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), f"{name}: {variable}"
            assert "SECRET" not in variable or variable.endswith("_FILE"), f"{name}: {variable}"
            if variable.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in made[name], f"{name}: {variable}"


def test_each_container_sees_its_own_secrets_alone(compose: dict[str, Any]) -> None:
    made = _made(lambda name: name)
    job = compose["services"]["secrets"]
    assert set(job["volumes"]) == {
        "secrets:/secrets/all",
        *(f"secrets-{name}:/secrets/{name}" for name in made),
    }
    assert set(compose["volumes"]) >= {"secrets", *(f"secrets-{name}" for name in made)}
    for name, found in compose["services"].items():
        seen = [one for one in found.get("volumes", []) if one.startswith("secrets")]
        if name != "secrets":
            assert seen == ([f"secrets-{name}:/run/secrets:ro"] if name in made else []), name
            assert "secrets" not in found
    for name in ("broker", "database"):
        assert compose["services"][name]["depends_on"] == AFTER_SECRETS
    assert set(made) == {"broker", "database", "migrate", *(service.name for service in SERVICES)}


def test_no_service_knows_anothers_password() -> None:
    made = _made(lambda name: f"password-of-{name}")
    for service in SERVICES:
        known = set(re.findall(r"password-of-([\w-]+)", " ".join(made[service.name].values())))
        own = {f"broker-{service.name}-svc"} if not service.outside else set[str]()
        own |= {f"database-{service.database}"} if service.database else set[str]()
        own |= {"broker-console"} if service.public else set[str]()
        own |= {"secret-key-user-svc"} if service.name == "user" else set[str]()
        own |= {"pg-secret"} if service.name in ("pg", "payment") else set[str]()
        assert known == own


def test_secrets_are_made_once_and_tools_are_told_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("SHOP_PORT_BASE", "SHOP_MANAGEMENT_PORT", "SHOP_AMQP_PORT", "SHOP_DATABASE_PORT", "SHOP_PG_PORT")
    for number, name in enumerate(names, 7001):
        monkeypatch.setenv(name, str(number))
    assert secrets.main([str(tmp_path)]) == 0

    def everything() -> dict[str, str]:
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return {str(one.relative_to(tmp_path)): one.read_text() for one in files}

    first = everything()
    assert secrets.main([str(tmp_path)]) == 0
    second = everything()
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"broker/definitions.json"}, "its hashes have salts, and nothing else is new"
    definitions = json.loads(first["broker/definitions.json"])
    assert {"item-svc", "gateway-svc", "migrate"} <= {one["name"] for one in definitions["users"]}
    root = first["database/mysql_root_password"].strip()
    assert first["migrate/database_admin_url"] == f"mysql://root:{root}@database:3306/\n"
    assert first["item/amqp_url"].startswith("amqp://item-svc:")
    assert capsys.readouterr().out == ""
    assert secrets.main([str(tmp_path), "--tools"]) == 0
    told = dict(line.removeprefix("export ").split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert told["SHOP_DATABASE_ADMIN_URL"] == f"mysql://root:{root}@127.0.0.1:7004/"
    assert told["SHOP_ADMIN_PASSWORD"] == first["migrate/admin_password"].strip()
    assert told["SHOP_AMQP_URL"].startswith("amqp://shop:")


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
            for name in ("__init__", "broker_users", "call_keys", "databases", "grants", "healthy", "queues")
        ),
        "deploy/secrets.py",
        "deploy/services.py",
        "deploy/containers/__init__.py",
        "deploy/containers/secrets.py",
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
