"""compose.yaml runs the services that services.toml declares, the way it declares them."""

from typing import Any

import pytest
import yaml

from deploy.services import ROOT, Service, load_services

SERVICES = load_services({})
SERVERS = {"broker", "database", "migrate"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_the_same_services(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) - SERVERS == {service.name for service in SERVICES}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_runs_its_module_with_its_own_database(compose: dict[str, Any], service: Service) -> None:
    found = compose["services"][service.name]
    assert found["command"] == [service.module]
    url = found["environment"].get("SHOP_DATABASE_URL")
    name = service.database
    assert url == (f"mysql://{name}:{name}@database:3306/{name}" if name else None)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_finds_the_others_and_waits_for_what_it_needs(compose: dict[str, Any], service: Service) -> None:
    found = compose["services"][service.name]
    assert "/readyz" in " ".join(found["healthcheck"]["test"])
    assert found["environment"]["SHOP_BIND_HOST"] == "0.0.0.0"  # noqa: S104
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


def test_the_image_holds_every_module(compose: dict[str, Any]) -> None:
    """.dockerignore lets in what it names: a service that it forgets would fail in its container alone."""
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for service in SERVICES:
        assert f"!{service.module}" in allowed or (service.module.endswith("_svc") and "!*_svc" in allowed)
    assert compose["services"]["migrate"]["command"] == ["deploy.databases", "--migrate"]
