"""The consumer: lists, and one bad event harms only itself, whatever dies, fails or goes away meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import aio_pika
import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs

from deploy.local.layout import Layout
from shared.broker import topology
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.events import cloudevents, consumer
from shared.events.subscription import PREFETCH
from shared.registry import hear
from shared.rpc import Rpc
from shared.service.runtime import Runtime
from shared.service.service import Service
from tests.shared.lab import Lab, event, events_of, is_up, unique
from tests.shared.tiny.contracts import contracts, takes
from tests.shared.tiny.service import tiny
from tests.support import strange
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

MODELS = ("tests.shared.tiny.models",)
QUICK = "0.2,0.3"
"""Retry delays that a test can wait for."""


class Ear:
    """A service that hears one publisher, and remembers what it was handed; or a replica of another one."""

    def __init__(
        self, lab: Lab, *, batch: int = 16, once: bool = False, replica_of: "Ear | None" = None
    ) -> None:
        self.lab = lab
        self.name = replica_of.name if replica_of else unique("ear")
        self.publisher = replica_of.publisher if replica_of else unique("pub")
        self.queue = f"{self.name}.{self.publisher}.marked"
        self.kind = f"{self.publisher}.marked"
        self.lists: list[list[str]] = []
        """The keys of every list that the handler was given, failed ones included."""
        self.before: Callable[[list[Any]], Awaitable[None]] | None = None
        self.after: Callable[[list[Any]], Awaitable[None]] | None = None

        view = contracts(self.publisher).marked_view

        @takes(list[view])
        async def handle(heard: list[Any], tx: Transaction) -> None:
            self.lists.append([one.key for one in heard])
            if self.before:
                await self.before(heard)
            await tx.write_many(
                "INSERT INTO marks (`key`, text) VALUES (%s, '')", [(one.key,) for one in heard]
            )
            if self.after:
                await self.after(heard)
            if any(one.text == "boom" for one in heard):
                raise RuntimeError("a mark that nobody can take")

        @takes(view)
        async def handle_one(heard: Any, tx: Transaction) -> None:
            await handle([heard], tx)

        handler = handle if batch > 1 else handle_one
        self.service = Service(self.name, models=MODELS, hears=(hear(handler, batch=batch, once=once),))

    def running(self, url: str, **settings: Any) -> Any:
        """The service at work."""
        return self.lab.running(self.service, database_url=url, **{"retry_delays_s": QUICK, **settings})

    async def tell(self, *marks: str, together: bool = True, **properties: Any) -> list[str]:
        """Publish marks (`key` or `key:text`), in one message or one each; returns the event ids."""
        bodies = []
        for mark in marks:
            key, _, text = mark.partition(":")
            bodies.append(
                event(self.kind, {"key": key, "text": text}, subject=key, correlationid=f"for {key}")
            )
        for body in [cloudevents.batch(bodies)] if together else [cloudevents.batch([one]) for one in bodies]:
            await self.lab.send(
                f"{self.publisher}.events",
                body,
                self.kind,
                delivery_mode=2,
                type=self.kind,
                app_id=f"{self.publisher}-svc",
                message_id=str(uuid4()),
                content_type=cloudevents.CONTENT_TYPE,
                **properties,
            )
        return [cloudevents_id(body) for body in bodies]

    async def handled(self, url: str, *keys: str, within_s: float = 15) -> None:
        """Wait until exactly these keys are marked, each as often as named."""
        await eventually(
            lambda: self.lab.marks(url), holds=lambda marks: marks == sorted(keys), within_s=within_s
        )

    async def is_done(self) -> None:
        """Once the service is stopped: nothing came back to the queue, and nothing is dead."""
        assert await self.lab.length(self.queue) == 0
        assert await self.lab.length(f"{self.queue}.dead") == 0


def cloudevents_id(body: bytes) -> str:
    """The id of one event."""
    return msgspec.json.decode(body, type=cloudevents.Undecoded).id


# Lists ------------------------------------------------------------------------------------------------------


async def test_what_arrives_together_is_handled_in_lists_in_order(lab: Lab, url: str):
    ear = Ear(lab)
    keys = [f"k{n:02}" for n in range(40)]
    async with ear.running(url):
        await ear.tell(*keys)
        await ear.handled(url, *keys)
    assert [key for one in ear.lists for key in one] == keys
    assert [len(one) for one in ear.lists] == [16, 16, 8]


async def test_a_second_replica_gets_what_is_too_much_for_the_first(lab: Lab, url: str):
    first = Ear(lab)
    second = Ear(lab, replica_of=first)
    held = asyncio.Event()

    async def hold(_: list[Any]) -> None:
        await held.wait()

    async with second.running(url, instance=2), first.running(url, instance=1):
        few = [f"few{n}" for n in range(10)]
        await first.tell(*few, together=False)
        await first.handled(url, *few)
        assert second.lists == []

        first.before = hold
        many = [f"many{n:02}" for n in range(PREFETCH + 3)]
        await first.tell(*many, together=False)
        await first.handled(url, *few, *many[PREFETCH:])
        assert sorted(key for one in second.lists for key in one) == many[PREFETCH:]
        held.set()
        await first.handled(url, *few, *many)


async def test_a_second_replica_takes_over_when_the_first_is_gone(lab: Lab, url: str):
    first = Ear(lab)
    second = Ear(lab, replica_of=first)
    async with second.running(url, instance=2):
        async with first.running(url, instance=1):
            await first.tell("before")
            await first.handled(url, "before")
        await first.tell("after")
        await first.handled(url, "before", "after")
    assert second.lists == [["after"]]


async def test_events_that_one_function_takes_share_its_lists_and_fail_each_to_its_own_queue(
    lab: Lab, url: str
):
    ear, other = Ear(lab), Ear(lab)
    [hearing] = ear.service.hears
    other.name, other.queue = ear.name, f"{ear.name}.{other.publisher}.marked"
    both = takes(list[contracts(ear.publisher).marked_view | contracts(other.publisher).marked_view])
    ear.service = Service(ear.name, models=MODELS, hears=(hear(both(hearing.handler), batch=16),))
    first = asyncio.Event()

    async def hold(_: list[Any]) -> None:
        if len(ear.lists) == 1:
            await first.wait()

    ear.before = hold
    async with ear.running(url) as runtime:
        await ear.tell("a0")
        await eventually(lambda: _some(ear.lists))
        await ear.tell("a1", "a2")
        await other.tell("b1", "b2:boom")
        [consumer] = runtime.consumers
        await eventually(lambda: _some(len(consumer._waiting) == 2))
        first.set()
        await ear.handled(url, "a0", "a1", "a2", "b1")
        await eventually(lambda: lab.length(f"{other.queue}.dead"), holds=lambda dead: dead == 1)
    assert sorted(ear.lists[1]) == ["a1", "a2", "b1", "b2"]
    await ear.is_done()


async def test_single_messages_gather_while_a_list_is_handled(lab: Lab, url: str):
    ear = Ear(lab)
    first = asyncio.Event()

    async def hold(_: list[Any]) -> None:
        if len(ear.lists) == 1:
            await first.wait()

    ear.before = hold
    async with ear.running(url) as runtime:
        await ear.tell("k0")
        await eventually(lambda: _some(ear.lists))
        await ear.tell(*(f"k{n}" for n in range(1, 9)), together=False)
        await eventually(lambda: _some(len(runtime.consumers[0]._waiting) == 8))
        first.set()
        await ear.handled(url, *(f"k{n}" for n in range(9)))
    assert [len(one) for one in ear.lists] == [1, 8]


async def test_a_handler_of_single_events_gets_them_one_by_one(lab: Lab, url: str):
    ear = Ear(lab, batch=1)
    async with ear.running(url):
        await ear.tell("a", "b", "c")
        await ear.handled(url, "a", "b", "c")
    assert ear.lists == [["a"], ["b"], ["c"]]


async def test_what_a_handler_tells_is_traced_to_what_it_heard(lab: Lab, url: str):
    name, publisher = unique("ear"), unique("pub")
    kind = f"{publisher}.marked"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    heard = event(kind, {"key": "a"}, correlationid="a", traceparent=trace)
    async with (
        lab.running(tiny(name, publisher), database_url=url),
        lab.wiretap(f"{name}.events") as seen,
    ):
        await lab.send(f"{publisher}.events", cloudevents.batch([heard]), kind)
        await eventually(lambda: _some(seen))
    (told,) = events_of(seen[0])
    assert told.type == f"{name}.noted"
    assert told.causationid == cloudevents_id(heard)
    assert told.correlationid == "a"
    assert (told.traceparent or "")[:36] == trace[:36]


# One bad event ----------------------------------------------------------------------------------------------


async def test_one_bad_event_in_a_list_harms_only_itself(lab: Lab, url: str):
    ear = Ear(lab)
    async with ear.running(url) as runtime:
        ids = await ear.tell("a", "bad:boom", "b", "c")
        await ear.handled(url, "a", "b", "c")
        letter = await lab.dead(ear.queue)
    await ear.is_done()
    attempts = [one for one in ear.lists if "bad" in one]
    assert attempts == [["a", "bad", "b", "c"], ["bad"], ["bad"], ["bad"]]  # alone, then two retries
    assert letter.headers["x-exception"] == "RuntimeError"
    assert letter.headers["x-exception-message"] == "a mark that nobody can take"
    assert letter.headers["x-service"] == runtime.name
    assert letter.headers["x-queue"] == ear.queue
    assert letter.headers["x-attempt"] == 2
    assert letter.headers["x-count"] == 1
    assert datetime.fromisoformat(str(letter.headers["x-failed-at"])).tzinfo
    assert letter.message_id == ids[1]
    assert letter.correlation_id == "for bad"
    assert letter.type == ear.kind
    assert letter.app_id == f"{ear.publisher}-svc"
    assert letter.delivery_mode == 2
    (buried,) = events_of(letter)
    assert (buried.id, buried.data) == (ids[1], {"key": "bad", "text": "boom"})


async def test_a_retry_comes_back_to_the_queue_that_failed_and_to_no_other(lab: Lab, url: str):
    ear = Ear(lab)
    other, other_url = unique("other"), await lab.new_database()
    failed = asyncio.Event()

    async def fail_once(_: list[Any]) -> None:
        if not failed.is_set():
            failed.set()
            raise ConnectionError("not now")

    ear.before = fail_once
    await lab.process(other, other_url, hears=ear.publisher)
    async with ear.running(url, retry_delays_s="0.3"):
        await ear.tell("a")
        await failed.wait()
        await ear.handled(url, "a")
        await ear.tell("after")
        await ear.handled(url, "a", "after")
        await ear.handled(other_url, "a", "after")
    assert ear.lists == [["a"], ["a"], ["after"]]


async def test_an_event_that_failed_once_is_tried_as_the_same_event(lab: Lab, url: str):
    ear = Ear(lab, once=True)
    tries = 0

    async def fail_once(_: list[Any]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("not now")

    ear.after = fail_once
    async with ear.running(url):
        (event_id,) = await ear.tell("a")
        await ear.handled(url, "a")
    assert await lab.sql(url, "SELECT consumer, event_id FROM inbox") == [(ear.queue, event_id)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff\xfe not JSON", "not a CloudEvents batch"),
        (b"{}", "not a CloudEvents batch"),
        (b"[" * 100_000, "not a CloudEvents batch"),
        (b"[1]", "Expected `object`"),
        (b'[{"specversion":"1.0","id":"\xff"}]', "utf-8"),
        (b'[{"specversion":"1.0","id":"x"}]', "missing required field"),
    ],
    ids=["bytes", "no array", "too deep", "no event", "bad UTF-8", "half an event"],
)
async def test_what_cannot_be_read_is_a_dead_letter_at_once(lab: Lab, url: str, body: bytes, why: str):
    ear = Ear(lab)
    async with ear.running(url):
        await lab.send(f"{ear.publisher}.events", body, ear.kind, message_id="m1", delivery_mode=2)
        letter = await lab.dead(ear.queue)
        await ear.tell("good")
        await ear.handled(url, "good")
    assert letter.headers["x-exception"] == "Unreadable"
    assert why in str(letter.headers["x-exception-message"])
    assert letter.headers["x-attempt"] == 0
    assert letter.body == body
    assert letter.message_id == "m1"
    assert ear.lists == [["good"]]


@pytest.mark.parametrize(
    "properties",
    [strange.MICROSECONDS, strange.NAME_NO_TEXT, strange.ID_NO_TEXT],
    ids=["a time in microseconds", "a header's name", "an id"],
)
async def test_properties_that_cannot_be_read_are_a_dead_letter_and_cost_no_connection(
    lab: Lab, url: str, properties: bytes
):
    ear = Ear(lab)
    with capture_logs() as logs:
        async with ear.running(url):
            body = cloudevents.batch([event(ear.kind, {"key": "strange", "text": ""})])
            await strange.publish(lab.amqp_url, "", ear.queue, body, properties)
            letter = await lab.dead(ear.queue)
            await ear.tell("good")
            await ear.handled(url, "good")
    assert not [one for one in logs if one["event"] == "broker.link_lost"]
    assert letter.headers["x-exception"] == "Unreadable"
    assert "its properties cannot be read" in str(letter.headers["x-exception-message"])
    assert letter.headers["x-unreadable-octets"] == strange.octets_of(properties)
    assert letter.body == body


async def test_what_strangers_add_does_no_harm(lab: Lab, url: str):
    ear = Ear(lab)
    headers: dict[str, Any] = {
        "x-attempt": -7,
        "x-redrives": {"a": Decimal("1.5")},
        "x-delivery-count": "many",
        "x-foreign": [Decimal("0.1"), None, bytearray(b"\xff")],
    }
    async with ear.running(url):
        await ear.tell("bad:boom", headers=headers)
        letter = await lab.dead(ear.queue)
    assert (letter.headers["x-attempt"], letter.headers["x-exception"]) == (2, "RuntimeError")
    assert "x-foreign" not in letter.headers
    assert "x-redrives" not in letter.headers


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": {"text": "x"}}, "missing required field `key`"),
        ({"data": {"key": 1}}, "Expected `str`, got `int`"),
        ({"kind": "pub.renamed"}, "this queue takes"),
        ({"time": datetime(2026, 1, 1)}, "timezone"),  # noqa: DTZ001  that is what is wrong with it
    ],
    ids=["missing field", "wrong type of field", "wrong event", "time without zone"],
)
async def test_an_event_that_is_not_as_declared_is_buried_alone(
    lab: Lab, url: str, changes: dict[str, Any], why: str
):
    ear = Ear(lab)
    bad = event(**{"kind": ear.kind, "data": {"key": "bad"}, **changes})
    good = event(ear.kind, {"key": "good"})
    async with ear.running(url):
        await lab.send(f"{ear.publisher}.events", cloudevents.batch([bad, good]), ear.kind)
        letter = await lab.dead(ear.queue)
        await ear.handled(url, "good")
    assert why in str(letter.headers["x-exception-message"])
    assert letter.body == cloudevents.batch([bad])
    assert ear.lists == [["good"]]


async def test_an_event_of_another_version_of_cloudevents_is_buried(lab: Lab, url: str):
    ear = Ear(lab)
    body = event(ear.kind, {"key": "a"}).replace(b'"specversion":"1.0"', b'"specversion":"0.3"')
    async with ear.running(url):
        await lab.send(f"{ear.publisher}.events", cloudevents.batch([body]), ear.kind)
        letter = await lab.dead(ear.queue)
    assert "specversion is '0.3'" in str(letter.headers["x-exception-message"])


async def test_ids_that_are_too_long_stop_nobody(lab: Lab, url: str):
    ear = Ear(lab)
    bad = event(ear.kind, {"key": "bad", "text": "boom"}, id="i" * 400, correlationid="ü" * 400)
    async with ear.running(url, retry_delays_s="0.1"):
        await lab.send(f"{ear.publisher}.events", cloudevents.batch([bad]), ear.kind)
        letter = await lab.dead(ear.queue)
        await ear.tell("good")
        await ear.handled(url, "good")
    assert events_of(letter)[0].id == "i" * 400
    assert len(letter.message_id or "") == 255


# Once -------------------------------------------------------------------------------------------------------


async def test_an_event_that_comes_again_is_handled_once_also_within_one_list(lab: Lab, url: str):
    ear = Ear(lab, once=True)
    body = cloudevents.batch([event(ear.kind, {"key": "a"}), event(ear.kind, {"key": "b"})])
    hold = asyncio.Event()

    async def wait(_: list[Any]) -> None:
        await hold.wait()

    ear.before = wait
    async with ear.running(url) as runtime:
        await ear.tell("first")
        await eventually(lambda: _some(ear.lists))
        for _ in range(3):
            await lab.send(f"{ear.publisher}.events", body, ear.kind)
        await eventually(lambda: _some(len(runtime.consumers[0]._waiting) == 3))
        hold.set()
        await ear.handled(url, "a", "b", "first")
        await lab.send(f"{ear.publisher}.events", body, ear.kind)
        await ear.tell("last")
        await ear.handled(url, "a", "b", "first", "last")
    assert ear.lists == [["first"], ["a", "b"], ["last"]]


async def test_killed_before_the_acknowledgement_the_event_comes_again_and_counts_once(
    lab: Lab, url: str, tmp_path_factory: pytest.TempPathFactory
):
    name, publisher = unique("ear"), unique("pub")
    marker = tmp_path_factory.mktemp("crash") / "crashed"
    process = await lab.process(
        name, url, hears=publisher, once=True, crash_at="consumer.before_ack", crash_marker=marker
    )
    ear = Ear(lab)
    ear.publisher, ear.kind, ear.queue = publisher, f"{publisher}.marked", f"{name}.{publisher}.marked"
    await ear.tell("a", "b")
    assert await process.end() == -9
    assert await lab.marks(url) == ["a", "b"]  # committed, but not acknowledged
    async with lab.wiretap(f"{name}.events") as told:
        await process.start()
        await ear.tell("c")
        await ear.handled(url, "a", "b", "c")
        # What it told before it was killed was in the outbox; it is told, too.
        await eventually(
            lambda: _some({one.subject for m in told for one in events_of(m)} == {"a", "b", "c"})
        )


def test_once_needs_the_transaction_in_which_it_is_done():
    @takes(contracts("some").marked_view)
    async def handle(heard: Any, db: Database) -> None: ...

    with pytest.raises(TypeError, match="must ask for the Transaction"):
        hear(handle, once=True)


async def test_a_handler_without_a_transaction_runs_in_none(lab: Lab, url: str):
    name, publisher = unique("ear"), unique("pub")
    open_transactions: list[int] = []

    @takes(contracts(publisher).marked_view)
    async def handle(heard: Any, db: Database, rpc: Rpc) -> None:
        assert db._pool is not None
        open_transactions.append(db._size - db._pool._slots._value)
        await db.transaction(
            lambda tx: tx.execute("INSERT INTO marks (`key`, text) VALUES (%s, '')", [heard.key])
        )

    service = Service(name, models=MODELS, hears=(hear(handle),))
    async with lab.running(service, database_url=url):
        kind = f"{publisher}.marked"
        await lab.send(f"{publisher}.events", cloudevents.batch([event(kind, {"key": "a"})]), kind)
        await eventually(lambda: lab.marks(url), holds=lambda marks: marks == ["a"])
    assert open_transactions == [0]


# Killers ----------------------------------------------------------------------------------------------------


async def test_a_message_that_came_back_twice_is_taken_apart(lab: Lab, url: str):
    ear = Ear(lab)
    await topology.declare_event_queue(lab.channel, ear.name, ear.kind)
    await ear.tell("a", "b", "c")
    queue = await lab.channel.get_queue(ear.queue)
    for _ in range(2):
        await eventually(lambda: _reject(queue))
    async with ear.running(url):
        await ear.handled(url, "a", "b", "c")
    await ear.is_done()
    assert sorted(ear.lists) == [["a"], ["b"], ["c"]]


async def test_a_killer_dies_alone(lab: Lab, url: str):
    name, publisher = unique("ear"), unique("pub")
    process = await lab.process(name, url, hears=publisher)
    ear = Ear(lab)
    ear.publisher, ear.kind, ear.queue = publisher, f"{publisher}.marked", f"{name}.{publisher}.marked"
    await ear.tell("a", "killer:die", "b", "c")
    deaths = 0
    while await lab.marks(url) != ["a", "b", "c"]:
        assert await process.end() == -9
        deaths += 1
        assert deaths < 15, "what was beside the killer died with it"
        await process.start()
        if deaths >= 2:
            await eventually(lambda: _ended_or_done(lab, url, process), within_s=20)

    async def buried() -> AbstractIncomingMessage | None:
        nonlocal deaths
        if process.has_ended:
            deaths += 1
            assert deaths < 15, "the killer kills for ever"
            await process.start()
        return await lab.take(f"{ear.queue}.dead")

    # By our own count: the broker would give it out for ever.
    letter = await eventually(buried, within_s=40)
    await process.kill()
    assert letter is not None
    assert letter.headers["x-exception"] == "Killer"
    assert events_of(letter)[0].data["key"] == "killer"


async def test_an_outage_that_gives_back_again_and_again_kills_no_event(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumer, "PROBE_SECONDS", 0.05)
    ear = Ear(lab)
    with capture_logs() as logs:

        async def given_back() -> int:
            return sum(one["event"] == "consumer.given_back" for one in logs)

        async with proxy_to(url) as proxy, ear.running(proxy.via(url), database_patience_s=0.05):
            await ear.tell("before")
            await ear.handled(url, "before")
            await proxy.cut()
            await ear.tell("a", "b", "c", together=False)
            await eventually(given_back, holds=lambda times: times > 3)
            await proxy.heal()
            await ear.handled(url, "a", "b", "before", "c")
    await ear.is_done()
    assert await lab.sql(url, "SELECT id FROM suspects") == []


async def test_what_fails_while_the_broker_is_short_of_memory_is_held(lab: Lab, own_broker: Layout, url: str):
    ear = Ear(lab, batch=1)
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def wait(_: list[Any]) -> None:
        begun.set()
        await go_on.wait()

    ear.before = wait
    with capture_logs() as logs:
        async with ear.running(url) as runtime:
            await ear.tell("bad:boom", "good")
            await begun.wait()
            assert runtime.outbox is not None
            outbox = runtime.outbox
            async with lab.broker_short_of_memory():
                go_on.set()
                await eventually(lambda: _some(not outbox._is_open))
            letter = await lab.dead(ear.queue)
            await ear.handled(url, "good")
    assert letter.headers["x-attempt"] == 2
    assert ear.lists.count(["bad"]) == 3, "held, and not given out again"
    assert "broker.link_lost" not in [one["event"] for one in logs]


# What it needs goes away ------------------------------------------------------------------------------------


async def test_it_pauses_while_the_database_is_away_and_burns_no_attempts(lab: Lab, url: str):
    ear = Ear(lab)
    async with proxy_to(url) as proxy, ear.running(proxy.via(url)) as runtime:
        await ear.tell("before")
        await ear.handled(url, "before")
        await proxy.cut()
        await ear.tell("a", "b", together=False)
        await eventually(lambda: _some(runtime.consumers[0].paused))
        checks = await runtime.checks()
        assert checks["consumers"] == f"paused: {ear.queue}"
        assert checks["database"].startswith("away")
        await ear.tell("c")
        await proxy.heal()
        await ear.handled(url, "a", "b", "before", "c")
        assert (await runtime.checks())["consumers"] == "ok"
    await ear.is_done()
    for delay in (0.2, 0.3):
        assert await lab.length(topology.retry_name(ear.name, delay)) == 0


async def test_it_gives_back_what_it_holds_when_patience_or_the_process_ends(lab: Lab, url: str):
    ear = Ear(lab)
    async with proxy_to(url) as proxy:
        async with ear.running(proxy.via(url), database_patience_s=0.1) as runtime:
            await proxy.cut()
            await ear.tell("a", "b")
            link = next(link for link in runtime.links if link.name.endswith("consume"))
            await eventually(lambda: _some(not link.is_up))  # its connection is given up, and made anew
            await is_up(runtime)
        await eventually(lambda: lab.length(ear.queue), holds=lambda length: length == 1)
        await proxy.heal()
        async with ear.running(proxy.via(url)):
            await ear.handled(url, "a", "b")


async def test_a_stop_finishes_the_list_in_hand_and_gives_back_the_rest(lab: Lab, url: str):
    ear = Ear(lab, batch=4)
    go_on = asyncio.Event()

    async def hold(_: list[Any]) -> None:
        await go_on.wait()

    ear.before = hold
    keys = [f"k{n}" for n in range(10)]
    async with ear.running(url) as runtime:
        await ear.tell(*keys, together=False)
        await eventually(lambda: _some(ear.lists))
        stopping = asyncio.create_task(runtime.stop())
        await eventually(lambda: _some(runtime.draining))
        go_on.set()
        await stopping
    in_hand = ear.lists[0]
    assert ear.lists == [in_hand]
    assert await lab.marks(url) == in_hand
    assert await lab.length(ear.queue) == 10 - len(in_hand)
    async with ear.running(url):
        await ear.handled(url, *keys)
    await ear.is_done()


async def test_a_broken_broker_connection_in_the_middle_of_the_work_loses_nothing(lab: Lab, url: str):
    ear = Ear(lab, once=True)

    async def slow(_: list[Any]) -> None:
        await asyncio.sleep(0.01)

    ear.after = slow
    keys = [f"k{n:03}" for n in range(300)]
    async with (
        proxy_to(lab.amqp_url) as proxy,
        ear.running(url, amqp_url=proxy.via(lab.amqp_url)),
    ):
        telling = asyncio.create_task(ear.tell(*keys, together=False))
        for breaks in range(1, 4):
            await eventually(lambda breaks=breaks: _marks_at_least(lab, url, 60 * breaks), within_s=20)
            proxy.break_connections()
        await telling
        await ear.handled(url, *keys, within_s=20)
    await ear.is_done()
    assert Counter(await lab.marks(url)) == Counter(keys)


async def test_it_comes_back_when_its_queue_is_deleted_under_it(lab: Lab, url: str):
    ear = Ear(lab)
    async with ear.running(url):
        await ear.tell("a")
        await ear.handled(url, "a")
        await lab.channel.queue_delete(ear.queue)

        async def tell_until_heard() -> bool:
            await ear.tell("b")
            return "b" in await lab.marks(url)

        await eventually(tell_until_heard)


async def test_the_outbox_comes_back_when_its_exchange_was_deleted_under_it(lab: Lab, url: str):
    name = unique("pub")
    said = contracts(name)

    async def unit(tx: Transaction) -> None:
        tx.emit(said.marked(key="a"))

    async with lab.running(tiny(name), database_url=url) as runtime:
        assert runtime.database is not None
        await lab.channel.exchange_delete(f"{name}.events")
        await runtime.database.transaction(unit)
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])


# Declarations -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("management")
async def test_queues_are_declared_so_that_nothing_is_lost(lab: Lab, url: str):
    ear = Ear(lab)
    async with ear.running(url, retry_delays_s="5,30,300") as runtime:
        queue = await lab.management(f"queues/%2F/{ear.queue}")
        assert queue["durable"]
        assert queue["arguments"] == {
            "x-queue-type": "quorum",
            "x-delivery-limit": 1_000_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{ear.queue}.dead",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        dead = await lab.management(f"queues/%2F/{ear.queue}.dead")
        assert dead["arguments"] == queue["arguments"]
        for delay, name in ((5_000, "5s"), (30_000, "30s"), (300_000, "5min")):
            retry = await lab.management(f"queues/%2F/{ear.name}.retry.{name}")
            assert retry["arguments"]["x-message-ttl"] == delay
            assert retry["arguments"]["x-dead-letter-exchange"] == ""
            assert retry["arguments"]["x-dead-letter-strategy"] == "at-least-once"
            assert retry["arguments"]["x-overflow"] == "reject-publish"
        bindings = await lab.management(f"queues/%2F/{ear.queue}/bindings")
        assert [(one["source"], one["routing_key"]) for one in bindings if one["source"]] == [
            (f"{ear.publisher}.events", ear.kind)
        ]
        exchange = await lab.management(f"exchanges/%2F/{ear.publisher}.events")
        assert (exchange["type"], exchange["durable"]) == ("topic", True)
        names = await eventually(lambda: _connection_names(lab, runtime), holds=lambda found: len(found) == 3)
    assert names == {f"{runtime.name} {role}" for role in ("calls", "publish", "consume")}


async def _connection_names(lab: Lab, runtime: Runtime) -> set[str]:
    found = await lab.management("connections")
    names = {
        one["client_properties"].get("connection_name", "") for one in found if "client_properties" in one
    }
    return {name for name in names if name.startswith(runtime.name)}


async def _some(thing: object) -> bool:
    return bool(thing)


async def _marks_at_least(lab: Lab, url: str, count: int) -> bool:
    return len(await lab.marks(url)) >= count


async def _reject(queue: aio_pika.abc.AbstractQueue) -> bool:
    message = await queue.get(no_ack=False, fail=False)
    if message is not None:
        await message.reject(requeue=True)
    return message is not None


async def _ended_or_done(lab: Lab, url: str, process: Any) -> bool:
    return process.has_ended or await lab.marks(url) == ["a", "b", "c"]
