"""The broker's users of a run: made at a broker elsewhere where somebody may, and said aloud where not."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aiormq.exceptions import AMQPError

from deploy import broker_users
from deploy.local import broker_users as users
from deploy.local.__main__ import main
from deploy.local.layout import Layout, layout
from deploy.local.settings import service_environment
from shared.permissions import OTHERS, PAGES, Permission

DECLARED = '[[service]]\nname = "vault{0}"\nmodule = "tests.fleet.fake_service"\nports = 90\nmost = 1\n'


class Elsewhere:
    """A shop of one service at a broker that it does not run."""

    def __init__(self, servers: Layout, folder: Path) -> None:
        self.name = f"vault{uuid4().hex[:6]}"
        declaration = folder / "services.toml"
        declaration.write_text(DECLARED.replace("vault{0}", self.name), encoding="utf-8")
        self.settings = {
            "SHOP_SERVICES_FILE": str(declaration),
            "SHOP_RUN_DIR": str(folder / "run"),
            "SHOP_AMQP_URL": servers.amqp_url,
            "SHOP_DATABASE_ADMIN_URL": servers.admin_url,
        }
        self.said: list[str] = []

    def brought_up(self, management_url: str | None) -> str:
        """As whom its service signs in, once the users have been seen to."""
        settings = dict(self.settings)
        if management_url:
            settings["SHOP_MANAGEMENT_URL"] = management_url
        at = layout(settings)
        users.bring_up_to_date(at, self.said.append)
        return service_environment(at, at.service(self.name), settings)["SHOP_AMQP_URL"]


@pytest.fixture
def elsewhere(management: Layout, tmp_path: Path) -> Iterator[Elsewhere]:
    """A shop at the suite's broker, as at a stranger's."""
    shop = Elsewhere(management, tmp_path)
    yield shop
    for user in (f"{shop.name}-svc", "few"):
        httpx.delete(f"{management.management_url}/api/users/{user}", trust_env=False)


@pytest.fixture(autouse=True)
def _others_keep_their_passwords(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """The suite's own users bear the names that every shop's have: here only the new service's is made."""
    known = broker_users.read
    monkeypatch.setattr(
        users.users, "read", lambda text, some: [one for one in known(text, some) if not one.tags]
    )


async def signs_in(url: str) -> bool:
    """Whether the broker lets somebody in by this URL."""
    try:
        async with await asyncio.wait_for(aio_pika.connect(url), 10):
            return True
    except (AMQPError, ConnectionError):
        return False


async def test_an_administrator_makes_users(elsewhere: Elsewhere, management: Layout) -> None:
    url = await asyncio.to_thread(elsewhere.brought_up, management.management_url)
    assert urlsplit(url).username == f"{elsewhere.name}-svc"
    assert await signs_in(url)
    assert elsewhere.said == []


async def test_without_one_all_use_the_given_user_and_that_is_said(
    elsewhere: Elsewhere, management: Layout
) -> None:
    few = Permission(user="few", tags=("monitoring",))
    assert broker_users.besides_administrators([*OTHERS, few]) == [*OTHERS[:1], OTHERS[2], few]
    made = broker_users.definitions([few], lambda _: "few")
    await asyncio.to_thread(broker_users.send, management.management_url or "", made)
    parts = urlsplit(management.management_url or "")
    place = parts.netloc.rpartition("@")[2]
    ways = {
        None: "SHOP_MANAGEMENT_URL does not say",
        urlunsplit(parts._replace(netloc=f"few:few@{place}")): "no administrator",
        urlunsplit(parts._replace(netloc=f"few:wrong@{place}")): "answers 401",
        "http://few:secret@127.0.0.1:1": "does not answer",
    }
    for way, why in ways.items():
        url = await asyncio.to_thread(elsewhere.brought_up, way)
        assert url == management.amqp_url
        assert why in elsewhere.said.pop()
    assert elsewhere.said == []


def test_a_service_is_told_its_own_password_and_the_pages_theirs(tmp_path: Path) -> None:
    at = layout({"SHOP_RUN_DIR": str(tmp_path)})
    told = {service.name: service_environment(at, service, {}) for service in at.services}
    for service in at.services:
        login = urlsplit(told[service.name].get("SHOP_AMQP_URL", "")).username
        assert login == (None if service.outside else f"{service.name}-svc")
        url = told[service.name].get("SHOP_MANAGEMENT_URL", "")
        assert urlsplit(url).username == (PAGES if service.public else None)
    passwords = {path.name: path.read_text() for path in at.secrets.iterdir()}
    for service in at.services:
        seen = {name for name, password in passwords.items() if password in str(told[service.name])}
        own = {f"broker-{service.name}-svc"} if not service.outside else set[str]()
        assert {one for one in seen if one.startswith("broker-")} == own | (
            {"broker-console"} if service.public else set()
        )


def test_open_prints_the_sign_in_of_the_management_ui(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_RUN_DIR", str(tmp_path))
    for name in ("SHOP_AMQP_URL", "SHOP_MANAGEMENT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["open"]) == 0
    password = (tmp_path / "secrets" / "broker-shop").read_text()
    assert f"(shop / {password})" in capsys.readouterr().out
    assert main(["open", "--json"]) == 0
    assert f'"management_password": "{password}"' in capsys.readouterr().out
