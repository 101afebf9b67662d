"""A database that hangs, is half gone, or takes no changes: away. One that is slow for one unit: not away."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pymysql.err
import pytest

from deploy.databases import url_as
from shared import metrics
from shared.addresses import DATABASE, parse
from shared.database.connection import OTHER_FORMS, Connection, connect
from shared.database.failures import cannot_write, is_away
from shared.database.pipeline import DuplicateKey, DuplicateKeyPutOff
from shared.database.transaction import Reader, Transaction
from shared.database.units import CannotWrite, CommitUnknown, Database, DatabaseUnavailable, TooSlow
from shared.errors import OutcomeUnknown, Unavailable
from shared.events import cloudevents
from shared.messages import Call
from shared.registry import answer, hear
from shared.service.service import Service
from tests.shared.lab import Lab, event, unique
from tests.shared.tiny.contracts import contracts, takes
from tests.shared.tiny.models import Mark
from tests.support.proxy import Proxy, proxy_to
from tests.support.waiting import eventually

MODELS = ["tests.shared.tiny.models", "shared.database.tables"]
MARK = "INSERT INTO marks (`key`, text) VALUES (%s, '')"
UNIQUE = "INSERT INTO marks (`key`, text, unique_key) VALUES (%s, '', %s)"


@pytest.fixture(autouse=True)
def _asked_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the database is there at all is known in less than a second, so that tests need not wait."""
    monkeypatch.setattr("shared.database.units.PING_SECONDS", 0.7)


@asynccontextmanager
async def opened(url: str, *, pool: int = 4) -> AsyncIterator[Database]:
    """A database whose answers are waited for a second and a bit."""
    database = Database(url, pool=pool, lock_wait_s=1, answer_s=1.1)
    await database.open(MODELS)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def plain_url(lab: Lab, url: str) -> AsyncIterator[str]:
    """A database as a service knows it: by a user who may do everything there, and nothing to the server."""
    name, user = urlsplit(url).path[1:], unique("plain")
    await lab.sql("", f"CREATE USER '{user}'@'%%' IDENTIFIED BY '{user}'")
    await lab.sql("", f"GRANT ALL PRIVILEGES ON `{name}`.* TO '{user}'@'%%'")
    yield url_as(url, user, user, name)
    await lab.sql("", f"DROP USER '{user}'@'%%'")


async def _mark(tx: Transaction) -> None:
    await tx.execute(MARK, ["a"])


async def _look(reader: Reader) -> object:
    return await reader.row("SELECT COUNT(*) FROM marks")


# It hangs ---------------------------------------------------------------------------------------------------


async def test_no_answer_is_waited_for_longer_than_was_set(url: str):
    async with proxy_to(url) as proxy, opened(proxy.via(url), pool=6) as database:

        async def all_are_used() -> None:
            await asyncio.gather(*(database.read(lambda r: r.row("SELECT SLEEP(0.05)")) for _ in range(6)))

        await all_are_used()
        proxy.stall()
        began = time.monotonic()
        ends = await asyncio.gather(
            database.read(_look),
            database.transaction(_mark),
            database.read(lambda reader: Mark.all().using_db(reader.models)),
            database.execute("UPDATE marks SET text = 'x'"),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [DatabaseUnavailable] * 3 + [CommitUnknown]
        assert time.monotonic() - began < 1.1 + 0.7 + 0.5  # and a look whether it is there at all
        await proxy.heal()
        before = proxy.connections
        await all_are_used()
        assert proxy.connections >= before + 6, "the others are as stale, and cost nobody anything any more"


async def test_a_host_that_is_gone_is_noticed_by_the_system_within_seconds(url: str):
    connection = await connect(parse(url, DATABASE), answer_s=30, lock_wait_s=5)
    of_system = connection._writer.transport.get_extra_info("socket")  # type: ignore[union-attr]
    assert of_system.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert of_system.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
    assert of_system.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
    connection.close()


async def test_one_that_hangs_is_seen_on_a_connection_of_its_own_at_once(url: str):
    async with proxy_to(url) as proxy, opened(proxy.via(url), pool=2) as database:
        busy = [asyncio.create_task(database.read(lambda r: r.row("SELECT SLEEP(1)"))) for _ in range(2)]
        began = time.monotonic()
        await asyncio.gather(*(database.ping() for _ in range(20)))
        assert time.monotonic() - began < 0.5, "all connections of the pool are at work, which says nothing"
        await asyncio.gather(*busy)
        proxy.stall()
        began = time.monotonic()
        answers = await asyncio.gather(*(database.ping() for _ in range(20)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        assert time.monotonic() - began < 1.2
        await proxy.heal()
        await database.ping()


async def test_a_statement_that_is_slow_while_the_database_is_well_is_not_taken_for_it(
    db: Database, lab: Lab
):
    async def slow(tx: Transaction) -> None:
        await tx.execute(UNIQUE, ["a", "held"])
        await tx.row("SELECT SLEEP(20)")

    async with opened(db.url) as database:
        with pytest.raises(TooSlow):
            await database.transaction(slow)
        # It was ended at the server too, and holds nothing any more.
        async with asyncio.timeout(1):
            await database.transaction(lambda tx: tx.execute(UNIQUE, ["b", "held"]))
    assert await lab.marks(db.url) == ["b"]


def _silent_at(proxy: Proxy, words: bytes) -> None:
    """From the first statement with these words on nothing comes back, and the connections stay."""

    def passes(data: bytes) -> bool:
        if words in data:
            proxy.stall()
        return False

    proxy.lose_answer_to = passes


async def test_a_commit_whose_answer_never_comes_is_no_promise_that_nothing_was_done(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    async with proxy_to(url) as proxy, opened(proxy.via(url)) as database:
        await database.transaction(_mark)
        _silent_at(proxy, b"DELETE")
        with pytest.raises(CommitUnknown):  # waited for in vain
            await database.execute("DELETE FROM marks")
        await proxy.heal()
        assert await lab.marks(url) == []
        await database.transaction(_mark)
        monkeypatch.setattr("shared.database.units.UNIT_SECONDS", 0.2)
        _silent_at(proxy, b"COMMIT")
        with pytest.raises(CommitUnknown):  # cut off by the unit's own limit
            await database.transaction(_mark)
        await proxy.heal()
        assert await lab.marks(url) == ["a", "a"]


# It takes no changes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "away", "refuses"),
    [
        (1792, "Cannot execute statement in a READ ONLY transaction", False, True),
        (1836, "Running in read-only mode", False, True),
        (1047, "WSREP has not yet prepared node for application use", False, True),
        (1021, "Disk full (/tmp/#sql); waiting for someone to free some space", False, True),
        (1114, "The table 'marks' is full", False, True),
        (3, "Error writing file './x.MAD' (Errcode: 28 \"No space left on device\")", False, True),
        (3, "Error writing file 'binlog' (OS errno 28 - No space left on device)", False, True),
        (1026, "Error writing file './x' (errno: 28 \"No space left on device\")", False, True),
        (1030, 'Got error 28 "No space left on device" from storage engine Aria', False, True),
        (1030, "Got error 128 from storage engine", False, False),
        (3, "Error writing file './x' (Errcode: 5 \"Input/output error\")", False, False),
        (1290, "The server is running with the --secure-file-priv option", False, False),
        (1290, "The MariaDB server is running with the --read-only option so it cannot", False, True),
        (1290, "The MySQL server is running with the --super-read-only option so it cannot", False, True),
        (1290, "The MySQL server is running with the --skip-grant-tables option", False, False),
        (1062, "Duplicate entry '28' for key 'PRIMARY'", False, False),
        (1205, "Lock wait timeout exceeded", False, False),
        (1053, "Server shutdown in progress", True, False),
        (2013, "Lost connection", True, False),
        (3032, "The server is currently in offline mode", True, False),
    ],
)
def test_what_an_error_says_of_the_database(code: int, text: str, away: bool, refuses: bool):
    for error in (pymysql.err.OperationalError(code, text), Exception(pymysql.err.InternalError(code, text))):
        assert (is_away(error), cannot_write(error)) == (away, refuses)


@asynccontextmanager
async def _read_only(lab: Lab) -> AsyncIterator[None]:
    await lab.sql("", "SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        await lab.sql("", "SET GLOBAL read_only = 0")


@pytest.mark.usefixtures("own_database")
async def test_a_server_that_may_only_read_is_away_for_writers_alone(lab: Lab, plain_url: str):
    async def by_model(tx: Transaction) -> None:
        await Mark.create(key="b", using_db=tx.models)

    async def put_off(tx: Transaction) -> None:
        await tx.write(MARK, ["c"])

    async with proxy_to(plain_url) as proxy, opened(proxy.via(plain_url)) as database:
        await database.transaction(_mark)
        async with _read_only(lab):
            before = proxy.connections
            for unit in (_mark, by_model, put_off):
                with pytest.raises(CannotWrite):
                    await database.transaction(unit)
            with pytest.raises(CannotWrite):
                await database.execute("DELETE FROM marks")
            with pytest.raises(CannotWrite):
                await database.ready_to_write()
            assert proxy.connections > before, "the next one may lead to another server"
            assert await database.read(_look) == (1,)
            await database.ping()
        await database.ready_to_write()
        await database.transaction(_mark)
    assert await lab.marks(plain_url) == ["a", "a"]
    assert await lab.sql(plain_url, "SELECT * FROM inbox") == []


async def test_an_option_that_forbids_something_else_is_the_statement_s_own_fault(db: Database):
    async def unit(_: Transaction) -> None:
        raise pymysql.err.OperationalError(1290, "The server is running with the --secure-file-priv option")

    with pytest.raises(pymysql.err.OperationalError):
        await db.transaction(unit)


@pytest.mark.usefixtures("own_database")
async def test_while_a_server_may_only_read_events_wait_and_callers_are_told_when_to_come_again(
    lab: Lab, plain_url: str
):
    publisher, name = unique("pub"), unique("ear")

    class Note(Call[None], name=f"{name}.note"):
        """Writes something down."""

    @takes(Note)
    async def note(_: Note, tx: Transaction) -> None:
        await tx.write(MARK, ["noted"])

    view = contracts(publisher).marked_view
    kind = f"{publisher}.marked"
    runs = 0

    @takes(list[view])
    async def handle(heard: list[Any], tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await tx.write_many(MARK, [(one.key,) for one in heard])

    service = Service(name, models=MODELS[:1], answers=(answer(note),), hears=(hear(handle, batch=16),))
    async with lab.running(service, database_url=plain_url, retry_delays_s="0.1,0.1") as runtime:
        [consumer] = runtime.consumers
        async with _read_only(lab):
            bodies = [event(kind, {"key": key, "text": ""}, subject=key) for key in "abc"]
            await lab.send(f"{publisher}.events", cloudevents.batch(bodies), kind, delivery_mode=2, type=kind)

            async def paused() -> bool:
                return consumer.paused

            await eventually(paused)
            with pytest.raises(Unavailable) as refused:
                await runtime.rpc.call(Note())
            assert refused.value.retry_after
            assert not isinstance(refused.value, OutcomeUnknown)
            await asyncio.sleep(1.5)  # some probes
            assert runs == 1, "it asks whether it may write, and does not try the list again and again"
        await eventually(
            lambda: lab.marks(plain_url), holds=lambda marks: marks == ["a", "b", "c"], within_s=5
        )
    assert metrics.EVENTS_HANDLED.labels(kind, "retried")._value.get() == 0


# What it proves ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_database")
async def test_no_text_is_more_than_a_text_whatever_the_server_says_to_new_connections(
    lab: Lab, plain_url: str
):
    # In GBK the last byte of some characters is a backslash, and takes the one that we escape with.
    strange = [
        "한글' OR 1=1 #",
        "뿕\\' OR ''='",
        "縗' ; DROP TABLE marks #",
        b"\xe5\x5c".decode("gbk") + "' #",
    ]
    await lab.sql("", "SET GLOBAL init_connect = 'SET NAMES gbk'")
    try:
        async with opened(plain_url, pool=2) as database:

            async def unit(tx: Transaction) -> None:
                await tx.write_many(
                    "INSERT INTO marks (`key`, text) VALUES (%s, %s)", [(t, t) for t in strange]
                )
                for text in strange:
                    assert await tx.rows("SELECT `key`, text FROM marks WHERE `key` = %s", [text]) == [
                        (text, text)
                    ]
                    [mark] = await Mark.filter(key=text).using_db(tx.models)
                    assert mark.text == text
                assert await tx.row("SELECT COUNT(*) FROM marks") == (len(strange),)

            await database.transaction(unit)
    finally:
        await lab.sql("", "SET GLOBAL init_connect = ''")


async def test_a_server_that_would_read_our_texts_otherwise_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared.database.connection.SET_NAMES", "SET NAMES gbk")
    with pytest.raises(DatabaseUnavailable, match="reads statements as gbk"):
        await Database(url).open()


async def test_no_other_form_of_answers_is_agreed_to(url: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("pymysql.constants.CLIENT.CAPABILITIES", OTHER_FORMS | 0xF)
        assert Connection(parse(url, DATABASE)[0], answer_s=1).client_flag & OTHER_FORMS == 0


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM marks; DELETE FROM outbox",
        "SELECT 1;",
        "SELECT 1 -- one",
        "SELECT 1 # one",
        "SELECT /* one */ 1",
        "SELECT 'one",
        'SELECT "one',
        "SELECT `one",
        "SELECT 'it\\'; DELETE FROM marks",
    ],
)
async def test_what_is_not_one_statement_is_refused_before_it_is_sent(db: Database, sql: str):
    for ask in (
        db.read(lambda r: r.rows(sql)),
        db.transaction(lambda tx: tx.write(sql)),
        db.transaction(lambda tx: tx.write_many(f"INSERT INTO marks (`key`) VALUES (%s) {sql}", [["a"]])),
    ):
        with pytest.raises(ValueError, match=r"semicolon|VALUES"):
            await ask


async def test_what_would_be_more_than_one_statement_may_stand_in_texts(db: Database):
    sql = "SELECT 'a;b -- c # d /* e', \"it's; \", 'it''s; \\'# ', %s AS `;`"
    assert await db.read(lambda r: r.rows(sql, ["x; -- '"])) == [
        ("a;b -- c # d /* e", "it's; ", "it's; '# ", "x; -- '")
    ]


async def test_a_duplicate_key_of_what_was_put_off_is_told_to_nobody_else(db: Database, lab: Lab):
    await lab.sql(db.url, UNIQUE, ("old", "x"))

    async def unit(tx: Transaction) -> None:
        await tx.write(UNIQUE, ["mine", "x"])
        await tx.write(MARK, ["behind it"])
        try:
            await tx.execute(UNIQUE, ["other", "y"])
        except DuplicateKey:
            pytest.fail("y is not there")
        except DuplicateKeyPutOff:
            pass  # whoever goes on all the same cannot commit: what stood behind it was never done
        with pytest.raises(DuplicateKeyPutOff):
            await tx.rows("SELECT 1")

    with pytest.raises(DuplicateKeyPutOff):
        await db.transaction(unit)
    assert await lab.marks(db.url) == ["old"]
