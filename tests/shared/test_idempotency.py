"""Calls with a key: done once, answered again as the first time, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from shared.clock import utc_now
from shared.database import purging
from shared.database.idempotency import Idempotency, Once, fingerprint
from shared.database.purging import purge
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.errors import Conflict, Problem, RuleBroken, StillRunning, Unavailable
from shared.messages import Call
from shared.registry import answer, every, hear
from shared.rpc import Rpc
from shared.service.service import Service
from tests.shared.lab import Lab, unique
from tests.shared.tiny.contracts import Answered, contracts, takes
from tests.shared.tiny.service import tiny
from tests.support.calling import bearer
from tests.support.waiting import eventually

MODELS = ("tests.shared.tiny.models",)
MARK = "INSERT INTO marks (`key`, text) VALUES (%s, '')"


@asynccontextmanager
async def talking(lab: Lab, service: Service, url: str, **settings: Any) -> AsyncIterator[Rpc]:
    """`service` at work, and somebody who asks it."""
    async with (
        lab.running(service, database_url=url, **settings),
        lab.running(Service(unique("asker"))) as asker,
    ):
        yield asker.rpc


def once(key: str = "key", wish: str = "a", *, owner: int = 7, route: str = "some_route") -> Once:
    """A key, used for a wish."""
    return Once(owner, route, key, fingerprint(wish))


async def kept(lab: Lab, url: str) -> int:
    """How many keys are known."""
    return len(await lab.sql(url, "SELECT id FROM kept_answers"))


# What stands for a wish ----------------------------------------------------------------------------------


class Wish(msgspec.Struct, frozen=True):
    """What was asked for, in the version of today."""

    name: str
    sizes: list[int] = []


class WishOfTomorrow(Wish, frozen=True):
    """The same in a later version."""

    colour: str | None = None


def test_a_fingerprint_is_of_what_was_said_however_it_was_spelled():
    spelled = ('{"sizes":[],"name":"\\u0061"}', ' {"name": "a"}')
    said = [Wish("a"), WishOfTomorrow("a"), *(msgspec.json.decode(text, type=Wish) for text in spelled)]
    assert len({fingerprint(one) for one in said}) == 1
    red = WishOfTomorrow("a", colour="red")
    wishes = [
        (),
        (None,),
        (1,),
        ("1",),
        (Wish("a"),),
        (Wish("A"),),
        (Wish("a", [1]),),
        (red,),
        (Wish("a"), 1),
    ]
    assert len({fingerprint(*wish) for wish in wishes}) == len(wishes)


# In one unit of work -------------------------------------------------------------------------------------


async def test_the_same_key_and_wish_is_the_same_answer_and_done_once(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    async with talking(lab, tiny(name), url) as rpc:
        first = await rpc.call(said.put(key="a"), once=once())
        assert first == Answered(by=name, text="a")
        # Even if it says something else: what counts is the fingerprint.
        assert await rpc.call(said.put(key="b"), once=once()) == first
        with pytest.raises(RuleBroken, match="used for another request") as refusal:
            await rpc.call(said.put(key="a"), once=once(wish="b"))
        assert [error.field for error in refusal.value.errors] == ["Idempotency-Key"]
    assert await lab.marks(url) == ["a"]


async def test_a_key_is_its_users_and_its_routes_own_and_compares_exactly(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    others = [
        once(),
        once("KEY"),
        once("key "),
        once(owner=8),
        once(route="another_route"),
        once("some_route\nkey", route=""),
    ]
    async with talking(lab, tiny(name), url) as rpc:
        for number, one in enumerate(others):
            assert (await rpc.call(said.put(key=f"m{number}"), once=one)).text == f"m{number}"
        # A request may make several calls under its one key.
        assert await rpc.call(said.ask(how="?"), once=once()) == Answered(by=f"{name}#1", text="?")
    assert len(await lab.marks(url)) == len(others)


async def test_what_was_refused_does_not_use_up_its_key(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    async with talking(lab, tiny(name), url) as rpc:
        with pytest.raises(Conflict):
            await rpc.call(said.put(key="a", how="refuse"), once=once())
        assert await kept(lab, url) == 0
        assert (await rpc.call(said.put(key="b"), once=once(wish="b"))).text == "b"
    assert await lab.marks(url) == ["b"]


async def test_without_a_key_nothing_is_kept(lab: Lab, url: str):
    name = unique("svc")
    async with talking(lab, tiny(name), url) as rpc:
        for _ in range(2):
            await rpc.call(contracts(name).put(key="a"))
            await rpc.call(contracts(name).carry(work="w"))
    assert await lab.marks(url) == ["a", "a", "w", "w"]
    assert await kept(lab, url) == 0


async def test_a_twin_of_one_that_is_still_running_is_told_so_at_once(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    working, go_on = asyncio.Event(), asyncio.Event()

    @takes(said.put)
    async def put(call: Any, tx: Transaction) -> Answered:
        await tx.execute(MARK, ["a"])
        working.set()
        await go_on.wait()
        return Answered(by="me", text="done")

    service = Service(name, models=MODELS, answers=(answer(put),))
    async with talking(lab, service, url) as rpc:
        first = asyncio.create_task(rpc.call(said.put(key="a"), once=once()))
        await working.wait()
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        with pytest.raises(StillRunning) as refusal:
            await rpc.call(said.put(key="a"), once=once())
        assert clock() - asked_at < 2
        assert (refusal.value.status, refusal.value.retry_after) == (409, 1)
        go_on.set()
        assert await first == await rpc.call(said.put(key="a"), once=once())
    assert await lab.marks(url) == ["a"]


async def test_one_key_from_everywhere_at_once_is_done_once(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    async with (
        lab.running(tiny(name), database_url=url, instance=2),
        talking(lab, tiny(name), url) as rpc,
    ):
        answers = await asyncio.gather(*(rpc.call(said.put(key="a"), once=once()) for _ in range(10)))
        assert len(answers) == 10
        # Nor do many who only ask for the answer again get into each other's way.
        again = await asyncio.gather(*(rpc.call(said.put(key="a"), once=once()) for _ in range(10)))
        assert {one.text for one in (*answers, *again)} == {"a"}
    assert await lab.marks(url) == ["a"]


async def test_a_process_that_dies_in_its_unit_leaves_nothing_of_its_key(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    process = await lab.process(name, url)
    async with lab.running(Service(unique("asker"))) as asker:
        dying = asyncio.create_task(asker.rpc.call(said.put(key="a", how="die"), once=once(), timeout=1))
        await process.end()
        with pytest.raises(Problem):
            await dying
        await process.start()
        await process.is_ready()
        await eventually(lambda: _answered(asker.rpc, said.put(key="a")))
    assert await lab.marks(url) == ["a"]


async def _answered(rpc: Rpc, call: Call[Any]) -> bool:
    """Whether it is answered now: the server may take a moment to see that a client of its is dead."""
    try:
        return bool(await rpc.call(call, once=once()))
    except Problem:
        return False


async def test_a_call_over_http_has_its_key_as_well(lab: Lab, url: str):
    name = unique("svc")
    process = await lab.process(name, url)
    key = msgspec.json.encode(once().key_for(f"{name}.put")).decode()
    async with httpx.AsyncClient(base_url=process.url, trust_env=False, headers=bearer(name)) as client:
        path = f"/calls/{name}.put"
        answers = [
            await client.post(path, json={"key": mark}, headers={"x-idempotency": key}) for mark in ("a", "b")
        ]
        assert [one.json()["text"] for one in answers] == ["a", "a"]
        bad = await client.post(path, json={"key": "c"}, headers={"x-idempotency": "key"})
        assert bad.status_code == 400
    assert await lab.marks(url) == ["a"]


# In lists ------------------------------------------------------------------------------------------------


class Keep(Call[str], name="listed.keep", idempotent=True):
    """Writes a mark."""

    key: str


class Find(Call[str], name="listed.find", idempotent=True):
    """Tells how often a mark was written."""

    key: str


async def keep_all(calls: list[Keep], tx: Transaction) -> list[str | Problem]:
    """Refuses what is called no."""
    good = [call for call in calls if call.key != "no"]
    await tx.write_many("INSERT INTO marks (`key`, text) VALUES (%s, '')", [(call.key,) for call in good])
    return [f"kept {call.key}" if call in good else Conflict("no") for call in calls]


async def find(call: Find, reader: Reader) -> str:
    """How often it is there."""
    found = await reader.row("SELECT COUNT(*) FROM marks WHERE `key` = %s", [call.key])
    return f"{call.key} x{found[0] if found else 0}"


def look_again(reply: str) -> Find:
    """Asks for what was kept."""
    return Find(key=reply.removeprefix("kept "))


@pytest.fixture
async def listed(lab: Lab, url: str) -> AsyncIterator[Rpc]:
    """Somebody who asks a service that answers in lists, and again what is true by then."""
    answers = (answer(keep_all, batch=32, again=look_again), answer(find))
    async with talking(lab, Service("listed", models=MODELS, answers=answers), url) as rpc:
        await rpc.call(Find(key="the first call of all goes out later than others"))
        yield rpc


async def keep(rpc: Rpc, *wanted: tuple[str, Once | None]) -> Sequence[Any]:
    """Marks asked for in one turn, so that they make one list."""
    calls = (rpc.call(Keep(key=mark), once=key) for mark, key in wanted)
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_each_call_of_a_list_has_its_own_key(lab: Lab, url: str, listed: Rpc):
    assert await keep(listed, ("a", once("1"))) == ["kept a"]
    answers = await keep(
        listed, ("b", None), ("a", once("1")), ("c", once("2")), ("d", once("1", "other")), ("b", None)
    )
    assert answers[:3] == ["kept b", "a x1", "kept c"]
    assert isinstance(answers[3], RuleBroken)
    assert answers[4] == "kept b"
    assert await lab.marks(url) == ["a", "b", "b", "c"]


async def test_two_of_one_key_in_one_list_are_one(lab: Lab, url: str, listed: Rpc):
    answers = await keep(listed, ("a", once()), ("a", once()), ("z", once("9")), ("a", once(wish="other")))
    assert sorted(map(str, answers[:3])) == ["a x1", "kept a", "kept z"]
    assert isinstance(answers[3], RuleBroken)
    assert await lab.marks(url) == ["a", "z"]


async def test_what_is_refused_in_a_list_keeps_no_key(lab: Lab, url: str, listed: Rpc):
    refusal, good = await keep(listed, ("no", once("1")), ("a", once("2")))
    assert isinstance(refusal, Conflict)
    assert good == "kept a"
    assert await keep(listed, ("b", once("1", "better"))) == ["kept b"]
    assert await kept(lab, url) == 2


async def test_the_answer_may_be_what_is_true_now(lab: Lab, url: str, listed: Rpc):
    await keep(listed, ("a", once()))
    await lab.sql(url, "INSERT INTO marks (`key`, text) VALUES ('a', '')")
    assert await keep(listed, ("a", once())) == ["a x2"]


async def test_a_twin_that_runs_elsewhere_holds_up_nobody_else_of_a_list(lab: Lab, url: str, listed: Rpc):
    database = Database(url, pool=2)
    await database.open()
    held, let_go = asyncio.Event(), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        key = once("1").key_for("listed.keep")
        await tx.execute(
            "INSERT INTO kept_answers (id, owner, `call`, fingerprint, running_until, created_at)"
            " VALUES (%s, 7, 'listed.keep', '', %s, %s)",
            [key.id, tx.now, tx.now],
        )
        held.set()
        await let_go.wait()

    holding = asyncio.create_task(database.transaction(hold))
    await held.wait()
    answers = await keep(listed, ("a", once("1")), ("b", once("2")), ("c", None))
    assert isinstance(answers[0], StillRunning)
    assert answers[1:] == ["kept b", "kept c"]
    let_go.set()
    await holding
    await database.close()


# In several units of work --------------------------------------------------------------------------------


async def test_a_handler_of_several_units_is_answered_again_too(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    async with talking(lab, tiny(name), url) as rpc:
        first = await rpc.call(said.carry(work="w1"), once=once())
        assert first.text == "w1"
        assert await rpc.call(said.carry(work="w2"), once=once()) == first
        with pytest.raises(RuleBroken):
            await rpc.call(said.carry(work="w1"), once=once(wish="other"))
        with pytest.raises(Conflict):
            await rpc.call(said.carry(work="w3", how="refuse"), once=once("refused"))
        assert (await rpc.call(said.carry(work="w4"), once=once("refused", "other"))).text == "w4"
        with pytest.raises(Conflict):
            await rpc.call(said.carry(work="w5", how="refuse late"), once=once("late"))
        assert (await rpc.call(said.carry(work="w6"), once=once("late"))).text == "w5"
    assert await lab.marks(url) == ["w1", "w3", "w4", "w5"]


@pytest.mark.parametrize("how", ["lose the database", "lose a partner"])
async def test_a_work_that_broke_off_is_carried_on_by_the_next_try(lab: Lab, url: str, how: str):
    name = unique("svc")
    said = contracts(name)
    async with talking(lab, tiny(name), url) as rpc:
        with pytest.raises(Unavailable):
            await rpc.call(said.carry(work="w1", how=how), once=once())
        assert (await rpc.call(said.carry(work="w2"), once=once())).text == "w1"
    assert await lab.sql(url, "SELECT `key`, text FROM marks") == [("w1", "ended")]


async def test_many_at_once_begin_one_work(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    async with (
        lab.running(tiny(name), database_url=url, instance=2),
        talking(lab, tiny(name), url) as rpc,
    ):
        calls = (rpc.call(said.carry(work=f"w{number}"), once=once()) for number in range(10))
        answers = await asyncio.gather(*calls)
    assert await lab.marks(url) == [answers[0].text]
    assert len({one.text for one in answers}) == 1


async def test_a_work_that_a_dead_process_began_is_carried_on_by_who_comes_later(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    process = await lab.process(name, url, idempotency_lease_s=2)
    async with lab.running(Service(unique("asker"))) as asker:
        rpc = asker.rpc
        dying = asyncio.create_task(rpc.call(said.carry(work="w1", how="die"), once=once(), timeout=1))
        await process.end()
        with pytest.raises(Problem):
            await dying
        await lab.sql(url, "UPDATE kept_answers SET running_until = %s", [_in(60)])
        await process.start()
        await process.is_ready()
        with pytest.raises(StillRunning) as refusal:
            await rpc.call(said.carry(work="w2"), once=once())
        assert refusal.value.retry_after == 1
        await lab.sql(url, "UPDATE kept_answers SET running_until = %s", [_in(-1)])
        answers = await asyncio.gather(*(rpc.call(said.carry(work=w), once=once()) for w in ("w2", "w3")))
        assert {one.text for one in answers} == {"w1"}
    assert await lab.sql(url, "SELECT `key`, text FROM marks") == [("w1", "ended")]


def _in(seconds: float) -> Any:
    return utc_now().replace(tzinfo=None) + timedelta(seconds=seconds)


async def test_a_handler_without_units_is_run_once(lab: Lab, url: str):
    name = unique("svc")
    said = contracts(name)
    runs: list[str] = []
    go_on = asyncio.Event()

    @takes(said.ask)
    async def ask(call: Any) -> Answered:
        runs.append(call.how)
        if call.how == "wait":
            await go_on.wait()
        if call.how == "break":
            raise RuntimeError("broken")
        return Answered(by="me", text=f"{len(runs)}")

    async with talking(lab, Service(name, models=MODELS, answers=(answer(ask),)), url) as rpc:
        with pytest.raises(Problem):
            await rpc.call(said.ask(how="break"), once=once())
        waiting = asyncio.create_task(rpc.call(said.ask(how="wait"), once=once()))
        await eventually(lambda: _runs(runs, 2))
        with pytest.raises(StillRunning):
            await rpc.call(said.ask(how="wait"), once=once())
        go_on.set()
        assert (await waiting).text == "2"
        assert (await rpc.call(said.ask(how="wait"), once=once())).text == "2"
    assert runs == ["break", "wait"]


async def _runs(runs: list[str], wanted: int) -> bool:
    return len(runs) == wanted


def test_only_who_works_in_several_units_asks_for_the_key():
    said = contracts("some")

    @takes(said.ask)
    async def in_one(call: Any, tx: Transaction, idempotency: Idempotency) -> None: ...

    @takes(list[said.ask])
    async def in_lists(calls: list[Any], idempotency: Idempotency) -> None: ...

    async def job(idempotency: Idempotency) -> None: ...

    @takes(said.marked_view)
    async def note(heard: Any, idempotency: Idempotency) -> None: ...

    for make in (
        lambda: answer(in_one),
        lambda: answer(in_lists, batch=2),
        lambda: every(1, job),
        lambda: hear(note),
    ):
        with pytest.raises(TypeError, match="cannot ask for Idempotency"):
            make()


# Forgetting ----------------------------------------------------------------------------------------------


async def test_what_is_old_is_forgotten_in_small_units(lab: Lab, url: str, db: Database, monkeypatch: Any):
    monkeypatch.setattr(purging, "PURGE_ROWS", 10)
    name = unique("svc")
    said = contracts(name)
    async with talking(lab, tiny(name), url) as rpc:
        for number in range(25):
            await rpc.call(said.ask(), once=once(f"{number}"))
        await lab.sql(url, "UPDATE kept_answers SET created_at = %s", [_in(-8 * 86400)])
        await rpc.call(said.ask(), once=once("young"))
    gone = await asyncio.gather(*(purge(db, "kept_answers", "created_at", days=7) for _ in range(2)))
    assert sum(gone) == 25
    assert await kept(lab, url) == 1
