"""Several addresses of a broker, several database servers: who can do the work does it, in the end all."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pymysql.err
import pytest

from deploy.databases import connect, url_as
from deploy.local.layout import Layout
from shared.addresses import DATABASE, parse
from shared.database import pool
from shared.database.connection import connect as connect_one
from shared.database.transaction import Reader, Transaction
from shared.database.units import CannotWrite, Database, DatabaseUnavailable, TooSlow
from shared.service.service import Service
from tests.shared.lab import TABLES, Lab, unique
from tests.shared.test_rpc import served
from tests.shared.tiny.contracts import contracts
from tests.shared.tiny.service import tiny
from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxy_to
from tests.support.second_database import second_database
from tests.support.waiting import eventually

MARK = "INSERT INTO marks (`key`, text) VALUES (%s, '')"


# Brokers ----------------------------------------------------------------------------------------------------


def via(url: str, *proxies: Proxy) -> str:
    """One URL with several hosts."""
    parts = urlsplit(url)
    login, _, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}@{','.join(f'127.0.0.1:{one.port}' for one in proxies)}").geturl()


async def test_links_go_where_a_broker_is_and_home_again_at_no_cost(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared.broker.link.HOME_SECONDS", 0.2)
    name = unique("svc")
    said = contracts(name)
    port, service = free_port(), tiny(name, name, once=True)
    async with proxy_to(lab.amqp_url) as a, proxy_to(lab.amqp_url) as b:
        both, peers = via(lab.amqp_url, a, b), f"{name}=http://127.0.0.1:{port}"
        async with (
            lab.running(service, database_url=url, amqp_url=both) as runtime,
            served(service, runtime, port),
            lab.running(Service(unique("asker")), amqp_url=both, peers=peers) as asker,
        ):
            links = [*runtime.links, *asker.links]

            def at(proxy: Proxy) -> list[bool]:
                places = [one._connection.server.place if one._connection else None for one in links]
                return [place == ("127.0.0.1", proxy.port) for place in places]

            async def all_at(proxy: Proxy) -> bool:
                return all(one.is_up for one in links) and all(at(proxy))

            await b.cut()
            await eventually(lambda: all_at(a))
            for link in links:  # as if all of them had drawn this one
                link._home = ("127.0.0.1", a.port)
            await b.heal()
            await a.cut()
            await eventually(lambda: all_at(b))
            keys = [f"k{number:03}" for number in range(1000)]
            asked = iter(keys)

            async def put() -> None:
                for key in asked:
                    await asker.rpc.call(said.put(key=key, text=""))
                    if all(at(a)):
                        return

            calling = [asyncio.create_task(put()) for _ in range(3)]
            await a.heal()
            await asyncio.gather(*calling)
            await eventually(lambda: all_at(a))
            # Each was put once, and heard of once.
            done = keys[: len(keys) - len(list(asked))]
            await eventually(lambda: lab.marks(url), holds=lambda marks: marks == sorted([*done, *done]))
            assert {link.trouble.reason for link in links} == {None}


async def test_with_no_broker_each_one_is_told_of(lab: Lab):
    nobody = free_port(), free_port()
    hosts = ",".join(f"127.0.0.1:{port}" for port in nobody)
    async with lab.running(
        Service(unique("svc")), up=False, amqp_url=f"amqp://x:hunter2@{hosts}/"
    ) as runtime:
        checks = await eventually(runtime.checks, holds=lambda found: "starting" not in found)
        assert all(f"127.0.0.1:{port}: " in checks["broker"] for port in nobody)
        assert "hunter2" not in checks["broker"]


# Databases --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second(servers: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A server that has a database of the same name and users as `plain_urls` says, and can be changed."""
    with second_database(servers, tmp_path_factory.mktemp("second")) as at:
        yield at


class Pair:
    """The same service's database at two servers; the second of them can be changed."""

    def __init__(self, lab: Lab, first: str, second: str, admin: str) -> None:
        self.first, self.second = first, second
        self.both = f"{first},{second}"
        self._admin = admin
        self._lab = lab

    async def say(self, statement: str) -> list[tuple[object, ...]]:
        """Something to the second server, by its administrator."""
        return await self._lab.sql(self._admin, statement)

    async def marks(self) -> tuple[list[str], list[str]]:
        return await self._lab.marks(self.first), await self._lab.marks(self.second)


@pytest.fixture
async def pair(lab: Lab, url: str, second: Layout) -> AsyncIterator[Pair]:
    """A user at both who may do everything in the database, and nothing to the server."""
    name, user = urlsplit(url).path[1:], unique("plain")
    shapes = [(await lab.sql(url, f"SHOW CREATE TABLE {table}"))[0][1] for table in TABLES]

    def make() -> None:
        with connect(second.admin_url) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(f"USE {name}")
            for shape in shapes:
                cursor.execute(shape)

    await asyncio.to_thread(make)
    for admin in (lab.at.admin_url, second.admin_url):
        await lab.sql(admin, f"CREATE USER '{user}'@'%%' IDENTIFIED BY '{user}'")
        await lab.sql(admin, f"GRANT ALL PRIVILEGES ON `{name}`.* TO '{user}'@'%%'")
    own = [url_as(admin, user, user, name) for admin in (lab.at.admin_url, second.admin_url)]
    yield Pair(lab, own[0], own[1], second.admin_url)
    await lab.sql(second.admin_url, "SET GLOBAL read_only = 0")
    await lab.sql(second.admin_url, f"DROP DATABASE {name}")
    for admin in (lab.at.admin_url, second.admin_url):
        await lab.sql(admin, f"DROP USER '{user}'@'%%'")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool=4, lock_wait_s=1, answer_s=1.1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def mark(database: Database, *keys: str) -> None:
    async def put(key: str) -> None:
        async def unit(tx: Transaction) -> None:
            await tx.execute(MARK, [key])

        await database.transaction(unit)

    await asyncio.gather(*map(put, keys))


def _first(several: list[object] | tuple[object, ...], number: int) -> list[object]:
    return list(several)[:number]


async def port_of(reader: Reader) -> int:
    return (await reader.rows("SELECT @@port"))[0][0]


async def test_the_one_that_takes_changes_is_used(pair: Pair):
    await pair.say("SET GLOBAL read_only = 1")
    async with opened(f"{pair.second},{pair.first}") as database:
        for number in range(8):
            await mark(database, f"{number}")
            database._pool.close()  # type: ignore[union-attr]
        assert (await pair.marks()) == ([str(number) for number in range(8)], [])


async def test_one_that_turned_read_only_is_left_and_found_again(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "LIFE_SECONDS", 0.2)
    monkeypatch.setattr(pool, "AVOID_SECONDS", 0.2)
    at_second = parse(pair.second, DATABASE)[0].port
    async with opened(pair.both) as database:
        database._pool.avoid(parse(pair.first, DATABASE)[0])  # type: ignore[union-attr]
        database._pool.close()  # type: ignore[union-attr]
        database._pool._is_closed = False  # type: ignore[union-attr]
        monkeypatch.setattr(pool, "LIFE_SECONDS", 60)
        assert await database.read(port_of) == at_second
        await mark(database, "a")
        await pair.say("SET GLOBAL read_only = 1")
        with pytest.raises(CannotWrite):
            await mark(database, "b")
        for key in "cdef":
            await mark(database, key)
        assert await pair.marks() == (["c", "d", "e", "f"], ["a"])
        await pair.say("SET GLOBAL read_only = 0")
        monkeypatch.setattr(pool, "LIFE_SECONDS", 0.1)
        database._pool._idle[0].use_until = 0  # type: ignore[union-attr]
        await eventually(lambda: database.read(port_of), holds=lambda port: port == at_second)


async def test_where_none_takes_changes_one_can_be_read(pair: Pair):
    await pair.say("SET GLOBAL read_only = 1")
    nobody = pair.second.replace(f":{parse(pair.second, DATABASE)[0].port}/", f":{free_port()}/")
    async with opened(f"{pair.second},{nobody}") as database:
        assert await database.read(lambda reader: reader.row("SELECT COUNT(*) FROM marks")) == (0,)
        with pytest.raises(CannotWrite):
            await mark(database, "a")
        await database.ping()
        with pytest.raises(CannotWrite):
            await database.ready_to_write()


async def test_one_that_is_gone_costs_a_unit_at_most(pair: Pair):
    async with proxy_to(pair.second) as proxy, opened(f"{proxy.via(pair.second)},{pair.first}") as database:
        database._pool.avoid(parse(pair.first, DATABASE)[0])  # type: ignore[union-attr]
        await mark(database, "a", "b", "c")
        await proxy.cut()
        await database.ping()
        for key in ("d", "e"):
            try:
                await mark(database, key)
            except DatabaseUnavailable:
                await mark(database, key)
        first, second = await pair.marks()
        assert sorted([*first, *second]) == ["a", "b", "c", "d", "e"]
        proxy.stall()
        await proxy.open()
        await mark(database, *"fghijkl")
        await database.ping()


async def test_a_unit_that_takes_too_long_is_ended_where_it_runs(pair: Pair):
    async with opened(pair.both) as database:
        database._pool.avoid(parse(pair.first, DATABASE)[0])  # type: ignore[union-attr]
        await database._ask_watch("SELECT 1", parse(pair.first, DATABASE)[0])
        database._pool.close()  # type: ignore[union-attr]
        database._pool._is_closed = False  # type: ignore[union-attr]
        with pytest.raises(TooSlow):
            await database.read(lambda reader: reader.rows("SELECT SLEEP(20)"))

        async def sleeping() -> list[tuple[object, ...]]:
            return await pair.say(
                "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%%'"
            )

        await eventually(sleeping, holds=lambda found: found == [])


async def test_no_password_goes_to_a_server_without_the_tls_that_was_asked_for(pair: Pair):
    with pytest.raises(pymysql.err.OperationalError, match="offers no TLS"):
        await connect_one(parse(f"{pair.second}?tls=on", DATABASE), answer_s=5, lock_wait_s=1)
    with pytest.raises(pymysql.err.OperationalError, match="doesn't support it"):
        connect(f"{pair.second}?tls=on")
