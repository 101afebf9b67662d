"""Units of work: all or nothing, retried whole, never torn apart, and clear about a database that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from tortoise.transactions import in_transaction

from shared.database.failures import CommitUnknown, DatabaseUnavailable, TooSlow
from shared.database.orm import NoUnitNamed
from shared.database.pipeline import DuplicateKey, DuplicateKeyPutOff
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from tests.shared.lab import Lab
from tests.shared.tiny.models import Mark
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

MODELS = ["tests.shared.tiny.models", "shared.database.tables"]
MARK = "INSERT INTO marks (`key`, text) VALUES (%s, '')"
UNIQUE = "INSERT INTO marks (`key`, text, unique_key) VALUES (%s, '', %s)"


class Refused(Exception):
    """What a unit raises to undo itself."""


async def test_commits_what_the_unit_did_and_returns_what_it_returned(db: Database, lab: Lab):
    async def unit(tx: Transaction) -> str:
        assert await tx.execute(MARK, ["a"]) == 1
        assert await tx.insert(MARK, ["b"]) > 0
        return "done"

    assert await db.transaction(unit) == "done"
    assert await lab.marks(db.url) == ["a", "b"]


async def test_undoes_everything_when_the_unit_raises(db: Database, lab: Lab):
    async def unit(tx: Transaction) -> None:
        await tx.execute(MARK, ["a"])
        await Mark.create(key="b", using_db=tx.models)
        raise Refused

    with pytest.raises(Refused):
        await db.transaction(unit)
    assert await lab.marks(db.url) == []


async def test_models_ask_in_the_unit_that_they_are_told(db: Database, lab: Lab):
    async def unit(tx: Transaction) -> list[tuple[object, ...]]:
        await tx.write(MARK, ["put off"])
        await Mark.create(key="a", at=tx.now, using_db=tx.models)
        assert await Mark.filter(key="put off").using_db(tx.models).exists()
        assert await lab.marks(db.url) == []  # nobody else can see it yet
        return await tx.rows("SELECT `key` FROM marks ORDER BY id")

    assert await db.transaction(unit) == [("put off",), ("a",)]
    assert len(await lab.marks(db.url)) == 2
    assert await db.read(lambda reader: Mark.filter(key="a").using_db(reader.models).count()) == 1


async def _within_a_transaction_of_its_own() -> None:
    async with in_transaction() as connection:
        await Mark.create(key="a", using_db=connection)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Mark.create(key="a"),
        lambda: Mark.get_or_none(key="a"),
        lambda: Mark.get_or_create(key="a"),
        lambda: Mark.exists(key="a"),
        lambda: Mark.all(),
        lambda: Mark.filter(key="a").order_by("id").limit(1),
        lambda: Mark.filter(key="a").update(text="b"),
        lambda: Mark.filter(key="a").delete(),
        lambda: Mark.in_bulk([1], "id"),
        lambda: Mark.bulk_create([Mark(key="a")]),
        lambda: Mark(key="a").save(),
        lambda: Mark.raw("SELECT * FROM marks"),
        _within_a_transaction_of_its_own,
    ],
)
async def test_a_model_that_is_told_no_unit_asks_nothing_and_says_so(
    db: Database, lab: Lab, ask: Callable[[], Awaitable[object]]
):
    async def within(_: Reader) -> None:
        await ask()

    for run in (ask, lambda: db.read(within), lambda: db.transaction(within)):
        with pytest.raises(NoUnitNamed, match=r"using_db\(tx\.models\)"):
            await run()
    assert await lab.marks(db.url) == []


async def test_a_service_that_asks_in_sql_alone_has_no_models(lab: Lab, url: str):
    database = Database(url, pool=1)
    await database.open()

    async def unit(tx: Transaction) -> None:
        with pytest.raises(TypeError, match="in SQL alone"):
            await Mark.exists(using_db=tx.models)

    try:
        await database.transaction(unit)
    finally:
        await database.close()


async def test_a_duplicate_key_of_a_model_has_the_same_name(db: Database, lab: Lab):
    async def unit(tx: Transaction) -> None:
        await Mark.create(key="a", unique_key="same", using_db=tx.models)
        other = await Mark.create(key="b", unique_key="other", using_db=tx.models)
        with pytest.raises(DuplicateKey):
            await Mark.create(key="c", unique_key="same", using_db=tx.models)
        with pytest.raises(DuplicateKey):
            await Mark.filter(id=other.id).using_db(tx.models).update(unique_key="same")

    await db.transaction(unit)
    assert await lab.marks(db.url) == ["a", "b"]


async def test_a_duplicate_key_that_is_caught_undoes_its_statement_alone(db: Database, lab: Lab):
    async def unit(tx: Transaction) -> None:
        await tx.execute(UNIQUE, ["a", "same"])
        with pytest.raises(DuplicateKey):
            await tx.execute(UNIQUE + ", ('c', '', %s)", ["b", "other", "same"])
        await tx.execute(UNIQUE, ["d", "more"])

    await db.transaction(unit)
    assert await lab.marks(db.url) == ["a", "d"]


async def test_a_duplicate_key_that_is_not_caught_lets_the_unit_see_its_twin(db: Database, lab: Lab):
    tries = 0

    async def take_or_find(tx: Transaction) -> str:
        nonlocal tries
        tries += 1
        if await tx.row("SELECT 1 FROM marks WHERE unique_key = 'x'"):
            return "found"
        if tries == 1:
            await lab.sql(db.url, UNIQUE, ("twin", "x"))  # committed by a twin just now
        await tx.execute(UNIQUE, ["mine", "x"])
        return "taken"

    assert await db.transaction(take_or_find) == "found"
    assert await lab.marks(db.url) == ["twin"]


async def test_a_duplicate_key_that_stays_is_raised_in_the_end(db: Database, lab: Lab):
    await lab.sql(db.url, UNIQUE, ("old", "x"))
    tries = 0

    async def unit(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(UNIQUE, ["new", "x"])

    with pytest.raises(DuplicateKey):
        await db.transaction(unit)
    assert tries == 5


async def test_a_deadlock_runs_the_whole_unit_again(db: Database, lab: Lab):
    for key in ("a", "b"):
        await lab.sql(db.url, MARK, (key,))
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def cross(first: str, second: str) -> None:
        met = False

        async def unit(tx: Transaction) -> None:
            nonlocal runs, met
            runs += 1
            await tx.rows("SELECT id FROM marks WHERE `key` = %s FOR UPDATE", [first])
            if not met:
                met = True
                await both_hold_one.wait()
            await tx.execute("UPDATE marks SET text = CONCAT(text, %s) WHERE `key` = %s", [first, second])

        await db.transaction(unit)

    async with asyncio.timeout(20):
        await asyncio.gather(cross("a", "b"), cross("b", "a"))
    assert runs >= 3  # one of them was the victim and ran again
    assert await lab.sql(db.url, "SELECT `key`, text FROM marks ORDER BY id") == [("a", "b"), ("b", "a")]


async def test_a_lock_timeout_comes_soon_and_runs_the_whole_unit_again(db: Database, lab: Lab):
    await lab.sql(db.url, MARK, ("a",))
    holding, done = asyncio.Event(), asyncio.Event()
    tries = 0

    async def hold(tx: Transaction) -> None:
        await tx.rows("SELECT id FROM marks WHERE `key` = 'a' FOR UPDATE")
        holding.set()
        await done.wait()

    async def write(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(MARK, ["mine"])
        if tries == 2:
            done.set()
        await tx.execute("UPDATE marks SET text = 'written' WHERE `key` = 'a'")

    holder = asyncio.create_task(db.transaction(hold))
    await holding.wait()
    async with asyncio.timeout(10):  # the database's own default would be 50 s
        await asyncio.gather(holder, db.transaction(write))
    assert tries == 2
    assert await lab.marks(db.url) == ["a", "mine"]


async def test_a_cancelled_caller_waits_for_its_unit_and_no_connection_is_lost(db: Database, lab: Lab):
    for number in range(4 + 5):  # more often than the pool is large
        started = asyncio.Event()

        async def unit(tx: Transaction, number: int = number, started: asyncio.Event = started) -> None:
            await tx.execute(MARK, [f"a{number}"])
            started.set()
            await tx.rows("SELECT SLEEP(0.05)")
            await tx.execute(MARK, [f"b{number}"])

        caller = asyncio.create_task(db.transaction(unit))
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        # The unit ended before its caller did, as a whole.
        assert {f"a{number}", f"b{number}"} <= set(await lab.marks(db.url))
    async with asyncio.timeout(5):
        await asyncio.gather(*(db.ping() for _ in range(4)))
    idle = await lab.sql(
        "", "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0"
    )
    assert idle == [(0,)]


async def test_a_cancelled_caller_does_not_hide_its_cancellation_behind_a_failed_unit(db: Database):
    started = asyncio.Event()

    async def unit(tx: Transaction) -> None:
        started.set()
        await tx.rows("SELECT SLEEP(0.05)")
        raise Refused

    caller = asyncio.create_task(db.transaction(unit))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_saturated_pool_survives_cancellations(db: Database):
    async def unit(tx: Transaction) -> None:
        await tx.rows("SELECT SLEEP(0.02)")

    async with asyncio.timeout(30):
        for _ in range(5):
            callers = [asyncio.create_task(db.transaction(unit)) for _ in range(20)]
            await asyncio.sleep(0.01)
            for caller in callers[::2]:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        await asyncio.gather(*(db.transaction(unit) for _ in range(20)))


async def test_a_unit_that_takes_too_long_is_undone_and_its_connection_replaced(
    db: Database, lab: Lab, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared.database.units.UNIT_SECONDS", 0.2)

    async def unit(tx: Transaction) -> None:
        await tx.execute(MARK, ["slow"])
        await tx.rows("SELECT SLEEP(1)")

    for _ in range(4 + 5):
        with pytest.raises(TooSlow):
            await db.transaction(unit)
    monkeypatch.undo()
    async with asyncio.timeout(5):
        await asyncio.gather(*(db.ping() for _ in range(4)))
    assert await lab.marks(db.url) == []


async def test_isolation_is_read_committed_on_every_connection(db: Database, lab: Lab):
    async def look(tx: Transaction) -> tuple[int, int]:
        before = await tx.rows("SELECT `key` FROM marks")
        await lab.sql(db.url, MARK, (str(uuid4()),))
        after = await tx.rows("SELECT `key` FROM marks")
        await tx.rows("SELECT SLEEP(0.02)")  # so that all of them hold a connection at once
        return len(before), len(after)

    for before, after in await asyncio.gather(*(db.transaction(look) for _ in range(4))):
        assert after > before


async def test_list_arguments_expand(db: Database):
    async def unit(tx: Transaction) -> list[tuple[object, ...]]:
        await tx.write_many("INSERT INTO marks (`key`, text) VALUES (%s, %s)", [(k, "t") for k in "abcd"])
        assert (
            await tx.execute("UPDATE marks SET text = 'u' WHERE `key` IN %s AND text = %s", (["a", "b"], "t"))
            == 2
        )
        return await tx.rows(
            "SELECT `key` FROM marks WHERE (`key`, text) IN %s AND `key` <> %s ORDER BY id",
            ([("a", "u"), ("b", "u"), ("c", "t")], "b"),
        )

    assert await db.transaction(unit) == [("a",), ("c",)]


async def test_many_rows_are_one_statement_which_may_update_what_is_there(db: Database, lab: Lab):
    upsert = (
        "INSERT INTO marks (`key`, text, unique_key) VALUES (%s, 'it''s 100 %% sure', %s)"
        " ON DUPLICATE KEY UPDATE text = VALUES(text), `key` = VALUES(`key`)"
    ).replace(" 100 %%", "")

    async def unit(tx: Transaction) -> None:
        await tx.execute(UNIQUE, ["old", "1"])
        await tx.write_many(upsert, [])
        await tx.write_many(upsert, [("new '\\ %s", 1), ("more", 2)])

    await db.transaction(unit)
    assert await lab.marks(db.url) == ["more", "new '\\ %s"]


async def test_values_with_percent_signs_and_quotes_arrive_as_they_are(db: Database, lab: Lab):
    strange = ["100 %", "%s", "it's", 'say "hi"', "back\\slash", "emoji 🛒"]

    async def unit(tx: Transaction) -> None:
        await tx.write_many("INSERT INTO marks (`key`, text) VALUES (%s, '')", [[word] for word in strange])
        await tx.write_many(
            "INSERT INTO marks (`key`, text) VALUES (%s, %s)", [[word, f"\0{word}\0"] for word in strange]
        )
        assert await tx.row("SELECT COUNT(*) FROM marks WHERE text = CONCAT('\\0', `key`, '\\0')") == (6,)
        await tx.write("DELETE FROM marks WHERE text <> ''")
        for word in strange:
            assert await tx.row("SELECT COUNT(*) FROM marks WHERE `key` = %s", [word]) == (1,)
            assert await tx.row("SELECT COUNT(*) FROM marks WHERE `key` IN %s", [[word, "no"]]) == (1,)

    await db.transaction(unit)


async def test_times_are_utc_on_both_sides_and_ids_are_text(db: Database, lab: Lab):
    moment = datetime.fromisoformat("2026-01-31T12:00:00.123456+09:00")
    stored = datetime.fromisoformat("2026-01-31T03:00:00.123456+00:00")
    key = uuid4()

    async def unit(tx: Transaction) -> tuple[object, ...] | None:
        assert tx.now.tzinfo is UTC
        await tx.execute("INSERT INTO marks (`key`, text, at) VALUES (%s, '', %s)", [key, moment])
        mark = await Mark.get(key=str(key), using_db=tx.models)
        assert mark.at == moment
        await Mark.create(key="model", at=moment, using_db=tx.models)
        assert await tx.row("SELECT at FROM marks WHERE `key` = 'model'") == (stored,)
        return await tx.row("SELECT `key`, at FROM marks WHERE `key` = %s", [key])

    assert await db.transaction(unit) == (str(key), stored)


async def test_what_is_put_off_is_done_before_the_next_question_in_the_same_transaction(
    db: Database, lab: Lab
):
    async def unit(tx: Transaction) -> None:
        await tx.write(MARK, ["a"])
        await tx.write_many(MARK, [["b"], ["c"]])
        assert await tx.execute("UPDATE marks SET text = 'seen'") == 3
        assert await tx.insert(MARK, ["d"]) > 0
        await tx.write("DELETE FROM marks WHERE `key` = 'a'")
        assert await tx.rows_of_each(
            ("SELECT `key` FROM marks WHERE text = %s ORDER BY id", ["seen"]),
            ("SELECT COUNT(*) FROM marks", []),
        ) == [[("b",), ("c",)], [(3,)]]
        await tx.write(MARK, ["e"])  # nothing follows: it travels with the commit
        assert await lab.marks(db.url) == []

    await db.transaction(unit)
    assert await lab.marks(db.url) == ["b", "c", "d", "e"]


async def test_what_is_put_off_and_fails_undoes_the_whole_unit(db: Database, lab: Lab):
    await lab.sql(db.url, UNIQUE, ("old", "x"))

    async def unit(tx: Transaction) -> None:
        await tx.write(MARK, ["mine"])
        await tx.write(UNIQUE, ["second", "x"])
        await tx.write(MARK, ["never"])

    with pytest.raises(DuplicateKeyPutOff):
        await db.transaction(unit)
    assert await lab.marks(db.url) == ["old"]


async def test_what_is_put_off_does_not_outgrow_a_packet(db: Database, lab: Lab):
    spaces = " " * 500_000

    async def unit(tx: Transaction) -> None:
        for number in range(40):  # 20 MB, more than a server takes at once
            await tx.write(MARK + spaces, [f"{number:02}"])

    await db.transaction(unit)
    assert len(await lab.marks(db.url)) == 40


async def test_a_unit_that_asks_nothing_needs_no_transaction(db: Database):
    async def begun(reader: Reader) -> int:
        row = await reader.row("SHOW GLOBAL STATUS LIKE 'Com_begin'")
        assert row is not None
        return int(row[1])

    async def idle(tx: Transaction) -> None: ...

    before = await db.read(begun)
    await db.transaction(idle)
    assert await db.read(begun) == before


async def test_a_single_statement_is_a_transaction_by_itself(db: Database, lab: Lab):
    await db.transaction(lambda tx: tx.write_many(MARK, [["a"], ["b"], ["c"]]))
    assert await db.execute("DELETE FROM marks WHERE `key` IN %s", [["a", "b"]]) == 2
    assert await lab.marks(db.url) == ["c"]


async def test_a_reader_needs_no_transaction_and_knows_one_time(db: Database, lab: Lab):
    async def look(reader: Reader) -> tuple[int, datetime, datetime]:
        before, first = await reader.rows("SELECT 1 FROM marks"), reader.now
        await lab.sql(db.url, MARK, ("a",))
        assert await reader.row("SELECT 1 FROM marks WHERE `key` = 'nothing'") is None
        return len(await reader.rows("SELECT 1 FROM marks")) - len(before), first, reader.now

    more, first, last = await db.read(look)
    assert more == 1
    assert first == last


# A database that is away ------------------------------------------------------------------------------------


async def test_a_database_that_is_gone_is_said_to_be_away_and_comes_back(lab: Lab, url: str):
    async with proxy_to(url) as proxy:
        database = Database(proxy.via(url), pool=3)
        await database.open(MODELS)
        try:
            await asyncio.gather(*(database.ping() for _ in range(3)))
            for _ in range(3):
                await proxy.cut()
                for _ in range(5):
                    with pytest.raises(DatabaseUnavailable):
                        await database.ping()
                with pytest.raises(DatabaseUnavailable):
                    await database.transaction(lambda tx: tx.execute(MARK, ["a"]))
                await proxy.heal()
                await eventually(lambda: works(database))
                async with asyncio.timeout(5):
                    await asyncio.gather(*(database.ping() for _ in range(6)))
        finally:
            await database.close()
    assert await lab.marks(url) == []


async def test_a_connection_cut_inside_a_transaction_undoes_it(lab: Lab, url: str):
    async with proxy_to(url) as proxy:
        database = Database(proxy.via(url), pool=3)
        await database.open(MODELS)
        try:

            async def unit(tx: Transaction) -> None:
                await tx.execute(MARK, ["a"])
                proxy.break_connections()
                await tx.execute(MARK, ["b"])

            for _ in range(3 + 2):
                with pytest.raises(DatabaseUnavailable):
                    await database.transaction(unit)
            assert await eventually(lambda: works(database))
        finally:
            await database.close()
    assert await lab.marks(url) == []


async def test_a_database_that_does_not_answer_is_away_within_seconds(lab: Lab, url: str):
    async with proxy_to(url) as proxy:
        database = Database(proxy.via(url), pool=2)
        await database.open(MODELS)
        try:
            proxy.stall()
            units = [
                asyncio.create_task(database.transaction(lambda tx: tx.execute(MARK, ["a"])))
                for _ in range(3)
            ]
            async with asyncio.timeout(10):
                with pytest.raises(DatabaseUnavailable):
                    await database.ping()
            await proxy.heal()
            await asyncio.gather(*units, return_exceptions=True)
            assert await eventually(lambda: works(database))
        finally:
            await database.close()


async def test_an_answer_lost_at_the_commit_is_no_promise_that_nothing_was_done(lab: Lab, url: str):
    async with proxy_to(url) as proxy:
        database = Database(proxy.via(url), pool=2)
        await database.open(MODELS)
        try:
            proxy.lose_answer_to = lambda data: b"COMMIT" in data
            with pytest.raises(CommitUnknown):
                await database.transaction(lambda tx: tx.execute(MARK, ["a"]))
            await proxy.heal()
            assert await lab.marks(url) == ["a"]
            await proxy.cut()
            with pytest.raises(DatabaseUnavailable) as raised:
                await database.transaction(lambda tx: tx.execute(MARK, ["b"]))
            assert not isinstance(raised.value, CommitUnknown)
        finally:
            await database.close()


async def test_a_closed_database_refuses_at_once(lab: Lab, url: str):
    database = Database(url, pool=2)
    await database.open(MODELS)
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await database.ping()


async def test_a_wrong_url_says_what_one_looks_like(lab: Lab):
    with pytest.raises(ValueError, match="mysql://user:password@host:3306/name"):
        await Database("postgres://nowhere").open([])


async def mark(tx: Transaction) -> None:
    """Write one mark."""
    await tx.execute(MARK, ["a"])


async def works(database: Database) -> bool:
    """Whether the database answers."""
    try:
        await database.ping()
    except DatabaseUnavailable:
        return False
    return True
