"""The outbox: what was committed is told, what was not is not, whoever dies or is cut off in between."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import aio_pika
import msgspec
import pytest
from aiormq.abc import ChannelFrame
from pamqp import commands as amqp

from shared.broker import Address, Channel, Properties
from shared.clock import utc_now
from shared.database.transaction import Emitted, Transaction
from shared.database.units import Database
from shared.errors import OutcomeUnknown, Unavailable
from shared.events import outbox as outbox_module
from shared.events.outbox import COUNTED, MESSAGE_BYTES, PARKED_AFTER, Outbox, ParkedMessage
from shared.events.packing import OutgoingMessage, pack
from shared.rpc import Rpc
from shared.service.runtime import Runtime
from tests.shared.lab import Lab, events_of, is_up, unique
from tests.shared.tiny.contracts import contracts
from tests.shared.tiny.service import tiny
from tests.support.calling import SIGNER
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


class Refused(Exception):
    """What a unit raises to undo itself."""


async def emit(runtime: Runtime, *keys: str) -> None:
    """Commit a mark for each key, told in one transaction."""
    said = contracts(runtime.service.name)

    async def unit(tx: Transaction) -> None:
        for key in keys:
            await tx.execute("INSERT INTO marks (`key`, text) VALUES (%s, '')", [key])
            tx.emit(said.marked(key=key))

    assert runtime.database is not None
    await runtime.database.transaction(unit)


async def leave_over(lab: Lab, url: str, service: str, count: int) -> list[str]:
    """Rows that a process has left behind in the outbox, an event each; returns the events' ids."""
    said = contracts(service)
    moment = utc_now().replace(tzinfo=None) - timedelta(seconds=1)
    messages = [pack(service, [Emitted(said.marked(key=str(n)), None)], [])[0] for n in range(count)]
    rows = [(m.id, m.type, m.subjects, m.body.decode(), moment, moment) for m in messages]
    await lab.sql(
        url,
        "INSERT INTO outbox (id, type, count, subjects, body, created_at, available_at, attempts) VALUES "
        + ",".join(["(%s, %s, 1, %s, %s, %s, %s, 0)"] * count),
        [value for row in rows for value in row],
    )
    return [one["id"] for message in messages for one in msgspec.json.decode(message.body)]


# On the wire ------------------------------------------------------------------------------------------------


async def test_an_event_is_published_after_the_commit_and_then_forgotten(lab: Lab, url: str):
    name = unique("pub")
    async with lab.running(tiny(name), database_url=url) as runtime, lab.wiretap(f"{name}.events") as seen:
        await emit(runtime, "a")
        await eventually(lambda: _count(seen, 1))
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])
    (message,) = seen
    assert message.routing_key == message.type == f"{name}.marked"
    assert message.app_id == f"{name}-svc"
    assert message.correlation_id == "a"
    assert message.content_type == "application/cloudevents-batch+json"
    assert message.delivery_mode == 2
    assert message.headers == {"x-count": 1}
    assert message.message_id
    assert message.timestamp
    assert abs(message.timestamp - utc_now()) < timedelta(seconds=10)
    (event,) = msgspec.json.decode(message.body)
    assert event["specversion"] == "1.0"
    assert event["source"] == f"/{name}-svc"
    assert event["type"] == f"{name}.marked"
    assert event["subject"] == event["correlationid"] == "a"
    assert event["data"] == {"key": "a", "text": ""}
    assert event["id"] != message.message_id
    assert event["traceparent"].startswith("00-")


async def test_events_of_one_commit_and_type_are_one_message(lab: Lab, url: str):
    name = unique("pub")
    said = contracts(name)
    keys = [f"k{number:03}" for number in range(150)]

    async def unit(tx: Transaction) -> None:
        for key in keys:
            tx.emit(said.marked(key=key))
            tx.emit(said.noted(key=key))

    async with lab.running(tiny(name), database_url=url) as runtime, lab.wiretap(f"{name}.events") as seen:
        assert runtime.database is not None
        await runtime.database.transaction(unit)
        await eventually(lambda: _count(seen, 6))
    for kind in ("marked", "noted"):
        messages = [message for message in seen if message.type == f"{name}.{kind}"]
        assert sorted(int(str(message.headers["x-count"])) for message in messages) == [22, 64, 64]
        assert [len(events_of(message)) for message in messages] == [m.headers["x-count"] for m in messages]
        assert [one.subject for message in messages for one in events_of(message)] == keys
    assert all(message.correlation_id is None for message in seen)


async def test_nothing_is_told_of_what_was_rolled_back(lab: Lab, url: str):
    name = unique("pub")
    said = contracts(name)

    async def unit(tx: Transaction) -> None:
        tx.emit(said.marked(key="never"))
        raise Refused

    async with lab.running(tiny(name), database_url=url) as runtime, lab.wiretap(f"{name}.events") as seen:
        assert runtime.database is not None
        with pytest.raises(Refused):
            await runtime.database.transaction(unit)
        await emit(runtime, "after")
        await eventually(lambda: _count(seen, 1))
    assert [one.subject for message in seen for one in events_of(message)] == ["after"]


async def test_a_unit_that_ran_twice_tells_its_story_once(lab: Lab, url: str):
    name = unique("pub")
    said = contracts(name)
    tries = 0

    async def unit(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        tx.emit(said.marked(key=f"try {tries}"))
        if tries == 1:
            await lab.sql(url, "INSERT INTO marks (`key`, text, unique_key) VALUES ('twin', '', 'x')")
            await tx.execute("INSERT INTO marks (`key`, text, unique_key) VALUES ('me', '', 'x')")

    async with lab.running(tiny(name), database_url=url) as runtime, lab.wiretap(f"{name}.events") as seen:
        assert runtime.database is not None
        await runtime.database.transaction(unit)
        await eventually(lambda: _count(seen, 1))
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])
    assert [one.subject for message in seen for one in events_of(message)] == ["try 2"]


async def test_a_large_message_survives_the_table(lab: Lab, url: str):
    name = unique("pub")
    said = contracts(name)
    text = "쇼핑🛒" * 9000  # far above what a small text column holds

    async with lab.running(tiny(name), database_url=url) as runtime, lab.wiretap(f"{name}.events") as seen:
        assert runtime.outbox is not None
        assert runtime.database is not None
        runtime.outbox._channel, channel = None, runtime.outbox._channel  # published from the table alone
        await runtime.database.transaction(lambda tx: _emit(tx, said.marked(key="big", text=text)))
        runtime.outbox._channel = channel
        runtime.outbox._wake.set()
        await eventually(lambda: _count(seen, 1))
    assert events_of(seen[0])[0].data["text"] == text


# When the broker is away ------------------------------------------------------------------------------------


async def test_rows_wait_while_the_broker_is_away_and_leave_promptly_when_it_is_back(lab: Lab, url: str):
    name = unique("pub")
    async with (
        proxy_to(lab.amqp_url) as proxy,
        lab.running(tiny(name), database_url=url, amqp_url=proxy.via(lab.amqp_url)) as runtime,
        lab.wiretap(f"{name}.events") as seen,
    ):
        await proxy.cut()
        await eventually(lambda: _all_down(runtime))
        for number in range(20):
            await emit(runtime, str(number))
        assert len(await lab.outbox(url)) == 20
        assert seen == []
        assert await _checks(runtime, "broker") != "ok"
        await proxy.heal()
        # Well before their grace time of 5 s would be over, once it is connected again.
        await is_up(runtime)
        async with asyncio.timeout(3):
            await eventually(lambda: _events(seen, 20))
            await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])
    assert sorted(one.subject for message in seen for one in events_of(message)) == sorted(
        map(str, range(20))
    )


@pytest.mark.usefixtures("own_broker")
async def test_rows_wait_while_the_broker_is_short_of_memory(lab: Lab, url: str):
    name = unique("pub")
    async with (
        lab.running(tiny(name), database_url=url, outbox_grace_s=0.1) as runtime,
        lab.wiretap(f"{name}.events") as seen,
    ):
        outbox = runtime.outbox
        assert outbox is not None
        async with lab.broker_short_of_memory():
            await emit(runtime, "first")  # to the first who sends something, the broker says so
            await eventually(lambda: _holds(not outbox._is_open))
            for number in range(5):
                await emit(runtime, str(number))
            status = await outbox.status()
            assert (status.pending, status.connected) == (6, False)
            with pytest.raises(Unavailable, match="takes messages"):
                outbox.publish_now()
            await eventually(lambda: _holds(outbox.connected_since is None))
            ending = utc_now()
        await eventually(lambda: lab.outbox(url), holds=lambda rows: not rows)
        await eventually(lambda: _holds(outbox.connected_since is not None))
        assert outbox.connected_since is not None
        assert outbox.connected_since >= ending
        await eventually(lambda: _holds(len(_keys(seen)) == 6))
    # The first was on its way when its time to be published again may have come; the others left only once.
    assert all(_keys(seen)[str(number)] == 1 for number in range(5))


async def test_a_broker_that_takes_and_does_not_confirm_is_not_heaped_up_before(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    name = unique("pub")
    most = 20
    monkeypatch.setattr("shared.events.outbox.MOST_UNCONFIRMED_BYTES", (most - 1) * MESSAGE_BYTES)
    monkeypatch.setattr(Channel, "_confirm", lambda self, frame: None)
    async with lab.running(tiny(name), database_url=url, outbox_grace_s=60, rpc_timeout_s=0.4) as runtime:
        outbox, [_, publish] = runtime.outbox, runtime.links
        assert outbox is not None
        connection = publish._connection
        for number in range(3 * most):
            await emit(runtime, str(number))
        assert len(outbox._publishing) <= most
        await asyncio.sleep(0.4 * 2)
        assert publish._connection is connection  # it answers, but for that: it does not hang
        monkeypatch.undo()
        publish.reset()  # as if it had come to its senses: what waits goes out at once
        await eventually(lambda: lab.outbox(url), holds=lambda rows: not rows)
        assert outbox._unconfirmed_bytes == 0


async def test_a_channel_of_which_nothing_is_confirmed_takes_no_more(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared.broker.channel.MOST_UNCONFIRMED", 3)
    monkeypatch.setattr(Channel, "_confirm", lambda self, frame: None)
    async with lab.running(tiny(unique("pub")), database_url=url, outbox_grace_s=60) as runtime:
        outbox = runtime.outbox
        assert outbox is not None
        assert outbox._channel is not None
        for number in range(5):
            await emit(runtime, str(number))
        await eventually(lambda: _holds(len(outbox._publishing) == 3))
        assert len(outbox._channel._unconfirmed) == 3
        assert len(await lab.outbox(url)) == 5


async def test_what_a_scheduler_could_not_publish_goes_out_without_waiting_for_its_lease(lab: Lab, url: str):
    name = unique("pub")
    ids = await leave_over(lab, url, name, 30)
    async with proxy_to(lab.amqp_url) as proxy, lab.wiretap(f"{name}.events") as seen:
        stalled = asyncio.Event()

        async def stall_once(self: Outbox, message: OutgoingMessage) -> None:
            if not stalled.is_set():
                proxy.stall()
                stalled.set()
            await publish(self, message)

        publish = Outbox._publish
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Outbox, "_publish", stall_once)
            service = tiny(name)
            async with lab.running(
                service, up=False, database_url=url, amqp_url=proxy.via(lab.amqp_url), outbox_lease_s=60
            ):
                await stalled.wait()
                # Claimed, in the air, unconfirmed: and now the connection breaks.
                await proxy.cut()
                await proxy.heal()
                async with asyncio.timeout(15):
                    await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])
    assert {one.id for message in seen for one in events_of(message)} == set(ids)


async def test_two_schedulers_publish_what_was_left_over_exactly_once(lab: Lab, url: str):
    name = unique("pub")
    ids = await leave_over(lab, url, name, 500)
    async with lab.wiretap(f"{name}.events") as seen:
        first = await lab.process(name, url, ready=False, instance=1)
        second = await lab.process(name, url, ready=False, instance=2)
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [], within_s=40)
        await eventually(lambda: _events(seen, 500))
        await first.terminate()
        await second.terminate()
    counts = Counter(one.id for message in seen for one in events_of(message))
    assert set(counts) == set(ids)
    assert set(counts.values()) == {1}
    assert len(seen) < 50  # what an outage leaves is sent in full messages


async def test_two_schedulers_at_the_very_same_time_share_the_work(
    lab: Lab, db: Database, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_module, "CLAIM", 20)
    name = unique("pub")
    await leave_over(lab, url, name, 200)
    claims: list[str] = []
    both = asyncio.Barrier(2)
    outboxes = [Outbox(name, db), Outbox(name, db)]

    async def claim_all(outbox: Outbox) -> int:
        mine = 0
        for _ in range(10):
            await both.wait()  # at the same time, again and again
            messages = await db.transaction(lambda tx: outbox._claim(tx, early=False))
            claims.extend(message.id for message in messages)
            mine += len(messages)
        return mine

    shares = await asyncio.gather(*map(claim_all, outboxes))
    assert sum(shares) == len(set(claims)) == 200
    assert min(shares) > 0


async def test_rows_that_are_not_due_are_left_alone(lab: Lab, db: Database, url: str):
    name = unique("pub")
    outbox = Outbox(name, db)
    db.publish_through(outbox)
    said = contracts(name)
    await db.transaction(lambda tx: _emit(tx, said.marked(key="fresh")))
    # Its own process is about to publish it: others wait for the grace time to pass.
    assert await db.transaction(lambda tx: outbox._claim(tx, early=False)) == []
    assert await db.read(lambda reader: outbox.waiting_subjects(reader, said.marked)) == {"fresh"}
    assert (await outbox.backlog())[0] == 1
    # After the broker was away nobody is, so nobody waits; but a row that another has claimed is his.
    assert len(await db.transaction(lambda tx: outbox._claim(tx, early=True))) == 1
    assert await db.transaction(lambda tx: outbox._claim(tx, early=True)) == []


async def test_a_lease_that_has_run_out_is_taken_over(lab: Lab, url: str):
    name = unique("pub")
    (left,) = await leave_over(lab, url, name, 1)
    async with lab.wiretap(f"{name}.events") as seen:
        # Claimed by one who died before he published: leased for a second.
        await lab.sql(
            url, "UPDATE outbox SET attempts = 1, available_at = UTC_TIMESTAMP(6) + INTERVAL 1 SECOND"
        )
        async with lab.running(tiny(name), database_url=url):
            assert seen == []
            await eventually(lambda: _count(seen, 1), within_s=5)
    assert [one.id for message in seen for one in events_of(message)] == [left]


# When the process dies --------------------------------------------------------------------------------------


async def test_killed_between_commit_and_publish_it_publishes_at_the_next_start(
    lab: Lab, url: str, tmp_path_factory: pytest.TempPathFactory
):
    name = unique("pub")
    process = await lab.process(
        name, url, crash_at="outbox.after_commit", crash_marker=_marker(tmp_path_factory)
    )
    async with lab.wiretap(f"{name}.events") as seen:
        await _put_and_die(lab, name, process.url)
        assert await process.end() == -9
        assert await lab.marks(url) == ["a-0", "a-1", "a-2"]
        (left,) = await lab.outbox(url)
        assert seen == []
        await process.start()
        await process.is_ready()
        await eventually(lambda: _count(seen, 1))
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])
    assert [message.message_id for message in seen] == [left]
    assert [one.subject for one in events_of(seen[0])] == ["a-0", "a-1", "a-2"]


async def test_killed_between_publish_and_delete_it_publishes_the_same_ids_again(
    lab: Lab, url: str, tmp_path_factory: pytest.TempPathFactory
):
    name = unique("pub")
    process = await lab.process(
        name, url, crash_at="outbox.after_publish", crash_marker=_marker(tmp_path_factory)
    )
    async with lab.wiretap(f"{name}.events") as seen:
        await _put_and_die(lab, name, process.url)
        assert await process.end() == -9
        await eventually(lambda: _count(seen, 1))
        assert len(await lab.outbox(url)) == 1
        await process.start()
        await eventually(lambda: _count(seen, 2))
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [])
    first, second = seen
    assert first.message_id == second.message_id
    assert first.body == second.body


async def test_a_stop_flushes_what_was_just_committed(lab: Lab, url: str):
    name = unique("pub")
    async with lab.wiretap(f"{name}.events") as seen:
        async with lab.running(tiny(name), database_url=url) as runtime:
            await asyncio.gather(*(emit(runtime, str(number)) for number in range(30)))
        assert await lab.outbox(url) == []
        await eventually(lambda: _events(seen, 30))


async def _put_and_die(lab: Lab, name: str, peer: str) -> None:
    """Ask for three marks of a process that will die of it."""
    rpc = Rpc("tests", peers=f"{name}={peer}", signer=SIGNER, timeout_s=5)
    with suppress(OutcomeUnknown):  # the answer may be faster than death
        await rpc.call(contracts(name).put(key="a", count=3))
    await rpc.close()


async def _emit(tx: Transaction, event: object) -> None:
    tx.emit(event)  # pyright: ignore[reportArgumentType]


async def _count(seen: Sequence[object], count: int) -> bool:
    return len(seen) >= count


def _keys(seen: list) -> Counter[str]:
    return Counter(event.data["key"] for message in seen for event in events_of(message))


async def _holds(condition: bool) -> bool:
    return condition


async def _events(seen: list, count: int) -> bool:
    return sum(len(events_of(message)) for message in seen) == count


async def _all_down(runtime: Runtime) -> bool:
    return not any(link.is_up for link in runtime.links)


async def _checks(runtime: Runtime, name: str) -> str:
    return (await runtime.checks())[name]


def _marker(folders: pytest.TempPathFactory) -> str:
    return str(folders.mktemp("crash") / "crashed")


# What cannot be sent ----------------------------------------------------------------------------------------


async def parked_of(runtime: Runtime) -> list[ParkedMessage]:
    """The messages that wait for a person."""
    assert runtime.outbox is not None
    return await runtime.outbox.parked_messages("", 10)


async def refusing_queue(lab: Lab, exchange: str) -> aio_pika.abc.AbstractQueue:
    """A queue that takes no message, bound to everything: the broker refuses whatever goes there."""
    queue = await lab.channel.declare_queue(
        exclusive=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await queue.bind(exchange, "#")
    return queue


async def test_what_is_refused_again_and_again_is_parked_and_sent_again_when_asked(lab: Lab, url: str):
    name = unique("pub")
    async with lab.running(tiny(name), database_url=url, outbox_grace_s=0.01, outbox_poll_s=0.02) as runtime:
        outbox = runtime.outbox
        assert outbox is not None
        queue = await refusing_queue(lab, f"{name}.events")
        await emit(runtime, "refused")
        [parked] = await eventually(lambda: parked_of(runtime))
        assert (parked.type, parked.subjects, parked.count) == (f"{name}.marked", "refused", 1)
        assert "refused" in parked.problem
        assert parked.attempts >= PARKED_AFTER
        status = await outbox.status()
        assert (status.pending, status.parked) == (0, 1)
        assert await outbox.backlog() == (0, 0.0)
        await queue.delete(if_unused=False, if_empty=False)
        async with lab.wiretap(f"{name}.events") as seen:
            assert await outbox.send_again(["nobody"]) == 0
            assert await outbox.send_again([parked.id]) == 1
            await eventually(lambda: _events(seen, 1))
        assert _keys(seen) == Counter(["refused"])
        await eventually(lambda: lab.outbox(url), holds=lambda rows: not rows)


async def test_what_can_never_be_sent_is_parked_and_holds_up_no_other(lab: Lab, url: str):
    name = unique("pub")
    await leave_over(lab, url, name, 1)
    # More octets than a property may have, in fewer letters than the column holds.
    await lab.sql(url, "UPDATE outbox SET correlation_id = %s", ["가" * 100])
    async with (
        lab.wiretap(f"{name}.events") as seen,
        lab.running(tiny(name), database_url=url, outbox_poll_s=0.05) as runtime,
    ):
        await emit(runtime, "good")
        await eventually(lambda: _events(seen, 1))
        [parked] = await eventually(lambda: parked_of(runtime))
        assert "packed" in parked.problem
        assert await lab.outbox(url) == [parked.id]


async def test_one_over_which_the_broker_closes_the_connection_is_found_and_parked(
    lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch
):
    """As a broker does to a message that is larger than it takes."""
    name = unique("pub")
    ids = await leave_over(lab, url, name, 3)
    assert len(ids) == 3
    publish = Channel.publish_confirmed

    async def picky(self: Channel, address: Address, properties: Properties, body: bytes) -> None:
        if b'"key":"1"' in body:
            # What is declared otherwise than it is there closes the channel with the same error.
            self._outlet.write(ChannelFrame.marshall(self._number, [_ANOTHER_KIND]).payload)
        await publish(self, address, properties, body)

    monkeypatch.setattr(Channel, "publish_confirmed", picky)
    async with (
        lab.wiretap(f"{name}.events") as seen,
        lab.running(tiny(name), database_url=url, outbox_poll_s=0.05) as runtime,
    ):
        [parked] = await eventually(lambda: parked_of(runtime))
        assert "closes the connection" in parked.problem
        assert parked.subjects == "1"
        await eventually(lambda: lab.outbox(url), holds=lambda rows: rows == [parked.id])
    assert set(_keys(seen)) >= {"0", "2"}


_ANOTHER_KIND = amqp.Exchange.Declare(exchange="amq.topic", exchange_type="direct", durable=True)


async def test_a_claim_is_bounded_in_bytes_and_takes_one_at_least(
    lab: Lab, db: Database, url: str, monkeypatch: pytest.MonkeyPatch
):
    name = unique("pub")
    await leave_over(lab, url, name, 5)
    outbox = Outbox(name, db)
    sizes = [len(one) for [one] in await lab.sql(url, "SELECT body FROM outbox")]
    monkeypatch.setattr(outbox_module, "CLAIM_BYTES", 2 * max(sizes))
    claims = [len(await db.transaction(lambda tx: outbox._claim(tx, early=False))) for _ in range(4)]
    assert claims == [2, 2, 1, 0]
    await lab.sql(url, "UPDATE outbox SET attempts = 0, available_at = UTC_TIMESTAMP(6)")
    monkeypatch.setattr(outbox_module, "CLAIM_BYTES", 1)
    assert len(await db.transaction(lambda tx: outbox._claim(tx, early=False))) == 1


async def test_the_gauge_counts_no_more_than_it_has_to(lab: Lab, db: Database, url: str):
    name = unique("pub")
    await leave_over(lab, url, name, 2)
    numbers = "SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4"
    many = " CROSS JOIN ".join(f"({numbers}) n{power}" for power in range(6))
    await lab.sql(
        url,
        "INSERT INTO outbox (id, type, count, subjects, body, created_at, available_at, attempts)"
        f" SELECT UUID(), 'x', 1, 'x', '[]', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 0 FROM {many}",
    )
    assert (await Outbox(name, db).backlog())[0] == COUNTED
    await lab.sql(url, "DELETE FROM outbox")
