"""Passwords are exchanged at the server first, then in their file: nothing is lost meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.databases import url_as
from deploy.local.layout import Layout
from shared.addresses import AMQP, DATABASE, parse
from shared.database.transaction import Transaction
from shared.database.units import DatabaseUnavailable
from shared.service.runtime import Runtime
from shared.settings import load
from tests.shared.lab import PROMPT, Lab, is_up, unique
from tests.shared.tiny.contracts import contracts
from tests.shared.tiny.service import tiny
from tests.support.proxy import Proxy, proxy_to
from tests.support.waiting import eventually

KEYS = [f"k{number:02}" for number in range(15)]
OLD, NEW = "hunter-old", "hunter-new"


@asynccontextmanager
async def told_by_file(
    name: str, setting: str, path: Path, monkeypatch: pytest.MonkeyPatch, **others: str
) -> AsyncIterator[Runtime]:
    """The tiny service, which hears itself; one of its settings stands in a file."""
    monkeypatch.setenv(f"{setting}_FILE", str(path))
    prompt = {f"SHOP_{key.upper()}": str(value) for key, value in PROMPT.items()}
    service = tiny(name, name, once=True)
    environment = {f"{setting}_FILE": str(path), **others, **prompt}
    runtime = Runtime(service, load(service.settings, environment))
    await runtime.start()
    try:
        await is_up(runtime)
        yield runtime
    finally:
        await runtime.stop()


async def put(runtime: Runtime, keys: Sequence[str]) -> None:
    """Mark each key and tell of it, in a transaction; again while the database is away."""
    marked = contracts(runtime.service.name).marked
    assert runtime.database is not None
    for key in keys:

        async def unit(tx: Transaction, key: str = key) -> None:
            if not await tx.row("SELECT 1 FROM marks WHERE `key` = %s", [key]):
                await tx.execute("INSERT INTO marks (`key`, text) VALUES (%s, '')", [key])
                tx.emit(marked(key=key, text=""))

        while True:
            try:
                await runtime.database.transaction(unit)
                break
            except DatabaseUnavailable:
                await asyncio.sleep(0.05)


def write_new(path: Path) -> None:
    """The new password in the place of the old one."""
    path.write_text(path.read_text().replace(OLD, NEW))


async def exchange(
    runtime: Runtime, proxy: Proxy, path: Path, check: str, at_server: Callable[[], Awaitable[Any]]
) -> None:
    """First at the server, so that fresh connections are refused; then in the file."""
    await put(runtime, KEYS[:5])
    await at_server()
    proxy.break_connections()
    checks = await eventually(runtime.checks, holds=lambda found: "access" in found[check].lower())
    assert "hunter" not in str(checks)
    working = asyncio.create_task(put(runtime, KEYS[5:10]))
    await eventually(runtime.checks, holds=lambda found: found[check] != "ok")
    write_new(path)
    await working
    await put(runtime, KEYS[10:])


async def all_is_done(lab: Lab, url: str, runtime: Runtime) -> None:
    """Each mark was made once, and heard of once."""
    await eventually(lambda: lab.marks(url), holds=lambda marks: marks == sorted([*KEYS, *KEYS]))
    await eventually(runtime.checks, holds=lambda found: set(found.values()) == {"ok"})


async def test_of_the_database(lab: Lab, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    user, (server,) = unique("turned"), parse(url, DATABASE)
    name, path = unique("svc"), tmp_path / "url"
    await lab.sql("", f"CREATE USER '{user}'@'%%' IDENTIFIED BY '{OLD}'")
    await lab.sql("", f"GRANT ALL PRIVILEGES ON `{server.path[1:]}`.* TO '{user}'@'%%'")
    async with proxy_to(url) as proxy:
        (there,) = parse(proxy.via(url_as(url, user, OLD, server.path[1:])), DATABASE)
        path.write_text(there.setting())
        others = {"SHOP_AMQP_URL": lab.amqp_url}
        async with told_by_file(name, "SHOP_DATABASE_URL", path, monkeypatch, **others) as runtime:
            change = f"ALTER USER '{user}'@'%%' IDENTIFIED BY '{NEW}'"
            await exchange(runtime, proxy, path, "database", lambda: lab.sql("", change))
            await all_is_done(lab, url, runtime)
    await lab.sql("", f"DROP USER '{user}'@'%%'")


async def test_of_the_broker(
    lab: Lab, url: str, management: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    user, name, path = unique("turned"), unique("svc"), tmp_path / "url"
    async with httpx.AsyncClient(base_url=f"{management.management_url}/api/", trust_env=False) as api:

        async def change(password: str) -> None:
            (await api.put(f"users/{user}", json={"password": password, "tags": ""})).raise_for_status()

        await change(OLD)
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        (await api.put(f"permissions/%2F/{user}", json=everything)).raise_for_status()
        async with proxy_to(lab.amqp_url) as proxy:
            (there,) = parse(proxy.via(lab.amqp_url), AMQP)
            path.write_text(there._replace(user=user, password=OLD).setting())
            others = {"SHOP_DATABASE_URL": url}
            async with told_by_file(name, "SHOP_AMQP_URL", path, monkeypatch, **others) as runtime:
                await exchange(runtime, proxy, path, "broker", lambda: change(NEW))
                await all_is_done(lab, url, runtime)
        await api.delete(f"users/{user}")
