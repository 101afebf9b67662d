"""TLS of a process: who has shown which certificate, what is refused, and what happens when files change."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from structlog.testing import capture_logs

from deploy.certificates import make
from deploy.local.errors import FleetError
from deploy.local.layout import layout
from deploy.local.tls import service_settings, trusted
from shared.certificates import Files, Shown, ask_with
from shared.errors import CallerNotAllowed
from shared.rpc import wire
from shared.rpc.http import HttpCalls, NobodyThere
from shared.service.app import _check_certificate
from shared.service.connections import PEER, Connections, Limits
from shared.settings import Settings, WrongSettings, load
from tests.support.ports import free_port
from tests.support.waiting import eventually

LIMITS = Limits(head_s=60, body_s=60, idle_s=60, most=100, most_of_address=50)


def files(folder: Path, name: str, ca: str = "ca") -> Files:
    return Files(str(folder / f"{name}.pem"), str(folder / f"{name}.key"), str(folder / f"{ca}.pem"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An authority, and what it has signed for two services."""
    make(tmp_path, ["item-svc", "order-svc"])
    return tmp_path


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the names of the certificate that came with the request."""
    peer = scope.get("extensions", {}).get(PEER)
    body = json.dumps(sorted(peer["names"]) if peer else None).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(shown: Shown) -> AsyncIterator[str]:
    """The app behind a certificate; where it is."""
    port = free_port()
    config = uvicorn.Config(
        _app,
        port=port,
        http=Connections(LIMITS).protocol(),
        lifespan="off",
        log_config=None,
        ws="none",
        ssl_context_factory=lambda *_: shown.context,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([config.bind_socket()]))
    await eventually(lambda: _now(server.started))
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        await running


async def _now(value: Any) -> bool:
    return bool(value)


async def names_seen(url: str, context: ssl.SSLContext) -> list[str]:
    async with httpx.AsyncClient(trust_env=False, verify=context) as client:
        return (await client.get(url)).json()


def without_certificate(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "ca.pem")


async def test_a_server_knows_whose_certificate_its_client_shows(folder: Path, tmp_path_factory: Any):
    strangers = tmp_path_factory.mktemp("strangers")
    make(strangers, ["order-svc"])
    async with served(Shown("service", files(folder, "item-svc"))) as url:
        assert "order-svc" in await names_seen(url, ask_with(files(folder, "order-svc")))
        assert await names_seen(url, without_certificate(folder)) == []
        foreign = without_certificate(folder)
        foreign.load_cert_chain(*files(strangers, "order-svc")[:2])
        with pytest.raises(httpx.TransportError):  # the same name, but signed by others
            await names_seen(url, foreign)
        with pytest.raises(httpx.ConnectError, match="verify failed"):  # nor would others trust us
            await names_seen(url, ask_with(files(strangers, "order-svc")))
        old = without_certificate(folder)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError):
            await names_seen(url, old)


def test_a_call_over_tls_needs_the_certificate_of_who_makes_it():
    _check_certificate(None, "order-svc")
    _check_certificate({PEER: {"names": frozenset({"order-svc", "localhost"})}}, "order-svc")
    for names in (frozenset[str](), frozenset({"item-svc"})):
        with pytest.raises(CallerNotAllowed, match="needs the certificate of order-svc"):
            _check_certificate({PEER: {"names": names}}, "order-svc")


async def test_changed_files_count_for_the_next_connection(folder: Path):
    shown = Shown("service", files(folder, "item-svc"))
    async with served(shown) as url:

        async def serial() -> str:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", int(url.rpartition(":")[2]), ssl=without_certificate(folder)
            )
            found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
            writer.transport.abort()
            return found

        before = await serial()
        key = (folder / "item-svc.key").read_text()
        (folder / "item-svc.key").write_text((folder / "order-svc.key").read_text())
        with capture_logs() as said:
            shown.look()
        assert "key of another certificate" in said[0]["detail"]
        assert await serial() == before, "a half that was exchanged changes nothing"

        (folder / "item-svc.key").write_text(key)
        os.unlink(folder / "item-svc.pem")
        make(folder, ["item-svc"])
        shown.look()
        assert await serial() != before


async def test_calls_over_http_show_the_certificate_that_the_files_hold_now(folder: Path):
    async with served(Shown("service", files(folder, "item-svc"))) as url:
        calls = HttpCalls(f"item={url}", tls=files(folder, "order-svc"))
        request = wire.Request(id="1", call="item.get", left_ms=3000, data=msgspec.Raw(b"{}"))
        assert b"order-svc" in bytes((await calls.call("item", request)).data)
        os.rename(folder / "order-svc.pem", folder / "away")
        assert b"order-svc" in bytes((await calls.call("item", request)).data), "the former one still counts"
        make(folder, ["order-svc"])
        assert b"order-svc" in bytes((await calls.call("item", request)).data)
        await calls.close()
        plain = HttpCalls(f"item={url}")
        with pytest.raises(NobodyThere):  # nobody whom the system trusts has signed that
            await plain.call("item", request)
        await plain.close()


@pytest.mark.parametrize(("days", "words"), [(22, None), (20, "ends in 20.0 days"), (-1, "has expired")])
def test_an_end_that_is_near_is_told_once_a_day(tmp_path: Path, days: int, words: str | None):
    make(tmp_path, ["item-svc"], now=datetime.now(UTC) - timedelta(days=397 - days))
    shown = Shown("service", files(tmp_path, "item-svc"))
    with capture_logs() as said:
        shown.look()
        shown.look()
    assert len(said) == (1 if words else 0)
    assert (shown.ending or "").endswith(words or "")


def test_certificates_are_made_once_and_renewed_in_time(tmp_path: Path):
    began = datetime.now(UTC)
    make(tmp_path, ["item-svc"], now=began)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(kept) == {"ca.pem", "ca.key", "item-svc.pem", "item-svc.key"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())
    make(tmp_path, ["item-svc"], now=began + timedelta(days=366))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == kept
    make(tmp_path, ["item-svc"], now=began + timedelta(days=368))
    changed = {path.name for path in tmp_path.iterdir() if path.read_text() != kept[path.name]}
    assert changed == {"item-svc.pem", "item-svc.key"}
    os.unlink(tmp_path / "ca.key")
    make(tmp_path, ["item-svc"], now=began)
    ask_with(files(tmp_path, "item-svc"))


def test_wrong_files_are_named_at_start(folder: Path):
    def said(cert: str, key: str, ca: str | None = "ca.pem") -> str:
        environment = {"SHOP_TLS_CERT_FILE": str(folder / cert), "SHOP_TLS_KEY_FILE": str(folder / key)}
        if ca is not None:
            environment["SHOP_TLS_CA_FILE"] = str(folder / ca)
        with pytest.raises(WrongSettings) as refused:
            load(Settings, environment)
        return str(refused.value)

    (folder / "empty").write_text("")
    assert "other.pem cannot be read: No such file" in said("other.pem", "item-svc.key")
    assert "is the key of another certificate" in said("item-svc.pem", "order-svc.key")
    assert "empty holds no certificate" in said("item-svc.pem", "item-svc.key", "empty")
    assert "SHOP_TLS_CA_FILE missing" in said("item-svc.pem", "item-svc.key", None)


def test_a_local_run_says_https_where_it_is_spoken():
    at = layout({"SHOP_TLS": "on"})
    assert at.gateway_url.startswith("https://")
    assert at.peers.count("=https://") == len(at.peers.split())
    settings = service_settings(at, at.service("gateway"))
    assert settings["SHOP_PUBLIC_TLS_CERT_FILE"] == settings["SHOP_TLS_CERT_FILE"]
    assert service_settings(at, at.service("pg"))["SHOP_PG_WEBHOOK_URL"].startswith("https://")
    assert service_settings(layout({}), at.service("gateway")) == {}
    with pytest.raises(FleetError, match="SHOP_TLS must be on or off, not 'yes'"):
        layout({"SHOP_TLS": "yes"})


def test_tools_trust_the_authority_that_they_are_told(folder: Path):
    assert trusted("http://127.0.0.1", {}) is False
    assert trusted("https://127.0.0.1", {"SHOP_RUN_DIR": str(folder)}) is True
    named = trusted("https://127.0.0.1", {"SHOP_TLS_CA_FILE": str(folder / "ca.pem")})
    assert isinstance(named, ssl.SSLContext)
    assert len(named.get_ca_certs()) == 1
    with pytest.raises(FleetError, match=r"item-svc.key holds no certificate"):
        trusted("https://127.0.0.1", {"SHOP_TLS_CA_FILE": str(folder / "item-svc.key")})
