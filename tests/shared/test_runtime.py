"""A process at work: its jobs, its taps, what it waits for at its start, and what it forgets in time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import utc_now
from shared.database import purging
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.events import cloudevents
from shared.events.inbox import Inbox
from shared.registry import every, tap
from shared.service.runtime import Runtime
from shared.service.service import Service
from tests.shared.lab import Lab, event, is_up, unique
from tests.shared.tiny.contracts import contracts, takes
from tests.shared.tiny.service import tiny
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

MODELS = ("tests.shared.tiny.models",)


async def test_jobs_run_again_and_again_also_after_they_failed(lab: Lab, url: str):
    runs = {"writes": 0, "fails": 0, "looks": 0}

    async def write(tx: Transaction) -> None:
        runs["writes"] += 1
        await tx.execute("INSERT INTO marks (`key`, text) VALUES ('job', '')")

    async def fail(tx: Transaction) -> None:
        runs["fails"] += 1
        await tx.execute("INSERT INTO marks (`key`, text) VALUES ('never', '')")
        raise RuntimeError("not this time")

    async def look(reader: Reader) -> None:
        runs["looks"] += 1
        await reader.rows("SELECT 1")

    jobs = tuple(every(0.02, job) for job in (write, fail, look))
    async with lab.running(Service(unique("svc"), models=MODELS, jobs=jobs), database_url=url):
        await eventually(lambda: _same(runs), holds=lambda found: min(found.values()) >= 3)
    marks = await lab.marks(url)
    assert set(marks) == {"job"}
    assert len(marks) == runs["writes"]  # the last one ended before the process did


async def test_a_tap_hears_in_every_process_and_takes_nothing_from_others(lab: Lab, url: str):
    publisher, ear = unique("pub"), unique("ear")
    said = contracts(publisher)
    heard: list[str] = []

    @takes(said.marked_view)
    def listen(one: Any) -> None:
        heard.append(one.key)

    service = Service(unique("tap"), taps=(tap(listen),))
    kind = f"{publisher}.marked"
    async with (
        lab.running(service, instance=1) as first,
        lab.running(service, instance=2),
        lab.running(tiny(ear, publisher), database_url=url),
    ):
        for body in (b"not JSON", cloudevents.batch([event(kind, {"key": "a"})])):
            await lab.send(f"{publisher}.events", body, kind)
        await eventually(lambda: _same(heard), holds=lambda found: found == ["a", "a"])
        await eventually(lambda: lab.marks(url), holds=lambda marks: marks == ["a"])
        first.links[-1].reset()  # its queue goes with the connection, and a new one comes
        await eventually(lambda: _same(not first.links[-1].is_up))
        await is_up(first)
        await lab.send(f"{publisher}.events", cloudevents.batch([event(kind, {"key": "b"})]), kind)
        await eventually(lambda: _same(heard), holds=lambda found: found == ["a", "a", "b", "b"])


async def test_a_tap_that_fails_costs_its_own_event_only(lab: Lab):
    heard: list[str] = []
    publisher = unique("pub")

    @takes(contracts(publisher).marked_view)
    def listen(one: Any) -> None:
        if one.key == "bad":
            raise RuntimeError("no such thing")
        heard.append(one.key)

    service = Service(unique("tap"), taps=(tap(listen),))
    kind = f"{publisher}.marked"
    async with lab.running(service) as runtime, lab.running(service):  # two that bear one name
        bodies = [event(kind, {"key": key}) for key in ("a", "bad", "b")]
        await lab.send(f"{publisher}.events", cloudevents.batch(bodies), kind)
        await eventually(lambda: _same(heard), holds=lambda found: sorted(found) == ["a", "a", "b", "b"])
        queues = {one["name"] for one in await lab.management("queues/%2F")}
    assert len([name for name in queues if name.startswith(f"{runtime.name}.tap.{kind}.")]) == 2


async def test_who_shuts_down_takes_nothing_when_its_link_comes_up_again(lab: Lab, url: str):
    name, publisher = unique("ear"), unique("pub")
    async with lab.running(tiny(name, publisher), database_url=url) as runtime:
        runtime.draining = True
        for link in runtime.links:
            link.reset()
        await eventually(lambda: _same([link.is_up for link in runtime.links]), holds=lambda up: not any(up))
        await is_up(runtime)
        kind = f"{publisher}.marked"
        await lab.send(
            f"{publisher}.events", cloudevents.batch([event(kind, {"key": "a", "text": ""})]), kind
        )
        queue = f"{name}.{kind}"
        await eventually(lambda: lab.length(queue), holds=lambda waiting: waiting == 1)
        declared = await lab.channel.declare_queue(queue, passive=True)
        assert declared.declaration_result.consumer_count == 0
        left = {one["name"] for one in await lab.management("queues/%2F")}
        assert f"rpc.{name}" not in left, "nobody asks it anything"
    assert await lab.marks(url) == []


async def test_a_start_waits_for_the_database_and_the_broker(lab: Lab, url: str):
    name = unique("svc")
    async with proxy_to(url) as database, proxy_to(lab.amqp_url) as broker:
        await database.cut()
        await broker.cut()
        service = tiny(name)
        runtime = Runtime(
            service,
            service.settings(database_url=database.via(url), amqp_url=broker.via(lab.amqp_url)),
        )
        starting = asyncio.create_task(runtime.start())
        try:
            await asyncio.wait({starting}, timeout=0.5)
            assert not starting.done()
            await database.heal()
            await starting
            checks = await runtime.checks()
            assert checks["database"] == "ok"
            assert checks["broker"].startswith("not connected")
            await broker.heal()
            await is_up(runtime)
        finally:
            await asyncio.wait({starting})
            await runtime.stop()


async def test_the_inbox_forgets_what_is_old_in_small_portions(
    lab: Lab, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(purging, "PURGE_ROWS", 10)
    box = Inbox("ear.some.event")

    async def take_in(tx: Transaction, ids: list[str], days_ago: int) -> set[str]:
        tx.now = utc_now() - timedelta(days=days_ago)
        return await box.take_in(tx, ids)

    old, young = [f"old{n}" for n in range(25)], ["young"]
    assert await db.transaction(lambda tx: take_in(tx, old, 20)) == set(old)
    assert await db.transaction(lambda tx: take_in(tx, [*young, *young, "old3"], 1)) == set(young)
    other = Inbox("ear.another")  # what one consumer has taken in is news to another
    assert await db.transaction(lambda tx: other.take_in(tx, young)) == set(young)
    assert await purging.purge(db, "inbox", "received_at", days=14) == 25
    assert await lab.sql(db.url, "SELECT event_id FROM inbox") == [("young",)] * 2


async def test_two_who_take_in_the_same_event_at_the_same_time_do_it_once(db: Database):
    box = Inbox("ear.some.event")
    both = asyncio.Barrier(2)

    async def take_in() -> set[str]:
        met = False

        async def unit(tx: Transaction) -> set[str]:
            nonlocal met
            if not met:
                met = True
                await both.wait()
            return await box.take_in(tx, ["a", "b", "c"])

        return await db.transaction(unit)

    assert sorted(map(len, await asyncio.gather(take_in(), take_in()))) == [0, 3]


async def _same(thing: Any) -> Any:
    return thing
